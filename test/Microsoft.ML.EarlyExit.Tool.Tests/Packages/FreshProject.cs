namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>A console project outside the repository, whose packages come from the packed ones, else from what this machine has; it knows ML.NET
/// only.</summary>
internal sealed class FreshProject : IDisposable
{
    public const int FailedExitCode = 3;

    private const string Program = """
        using Microsoft.ML;

        try
        {
            var mlContext = new MLContext();
            ITransformer model = mlContext.Model.Load(args[0], out _);
            var engine = mlContext.Model.CreatePredictionEngine<Question, Answer>(model);
            foreach (string prompt in args.Skip(1))
                Console.WriteLine(engine.Predict(new Question { Prompt = prompt }).Text);
            engine.Dispose();
            return 0;
        }
        catch (Exception exception)
        {
            Console.Error.WriteLine(exception.GetBaseException().Message);
            return 3;
        }

        internal sealed class Question
        {
            public string Prompt { get; set; } = "";
        }

        internal sealed class Answer
        {
            public string Text { get; set; } = "";
        }
        """;

    private readonly TemporaryFolder _folder = new();

    /// <summary>Writes the project.</summary>
    /// <param name="packed">The packages to take.</param>
    /// <param name="references">What the project references, as NAME/VERSION.</param>
    public FreshProject(PackedPackages packed, params string[] references)
    {
        WriteNuGetConfig(_folder.Path, packed);
        File.WriteAllText(_folder.File("Program.cs"), Program);
        string[][] parts = [.. references.Select(reference => reference.Split('/'))];
        File.WriteAllText(_folder.File("Fresh.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <Nullable>enable</Nullable>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <RestorePackagesPath>packages</RestorePackagesPath>
                <RestoreFallbackFolders>{string.Join(';', packed.RestoredFolders)}</RestoreFallbackFolders>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                {string.Concat(parts.Select(part => $"""<PackageReference Include="{part[0]}" Version="{part[1]}" />"""))}
              </ItemGroup>
            </Project>
            """);
    }

    /// <summary>The packages that were not on this machine before.</summary>
    public IEnumerable<string> NewPackages => Directory.GetDirectories(_folder.File("packages")).Select(folder => Path.GetFileName(folder)!);

    /// <summary>The files of the built program, relative to its folder.</summary>
    public IEnumerable<string> Files => Directory.GetFiles(Output, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(Output, file));

    private string Output => _folder.File(Path.Combine("bin", "Release", "net10.0"));

    /// <summary>Makes packages come from the packed ones only.</summary>
    public static void WriteNuGetConfig(string folder, PackedPackages packed) => File.WriteAllText(Path.Combine(folder, "nuget.config"), $"""
        <configuration>
          <packageSources>
            <clear />
            <add key="packed" value="{packed.Source}" />
          </packageSources>
          <packageSourceMapping>
            <clear />
          </packageSourceMapping>
        </configuration>
        """);

    public Task BuildAsync() => DotnetCommand.RunAsync(_folder.Path, "build", "-c", "Release");

    /// <summary>Loads a model and generates a text for each prompt; exit code <see cref="FailedExitCode"/> where an exception ended it.</summary>
    public Task<ToolResult> RunAsync(string zip, params string[] prompts) =>
        DotnetCommand.TryRunAsync("dotnet", _folder.Path, [Path.Combine(Output, "Fresh.dll"), zip, .. prompts]);

    public void Dispose() => _folder.Dispose();
}
