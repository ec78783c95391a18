using System.Runtime.InteropServices;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The packages of the projects under src, packed from what the tests were built with, under a version that nobody else has; deleted after the
/// last test.</summary>
public sealed class PackedPackages : IAsyncLifetime
{
    public const string Library = "Microsoft.ML.EarlyExit";
    public const string Evaluation = "Microsoft.ML.EarlyExit.Evaluation";
    public const string Conversion = "Microsoft.ML.EarlyExit.Conversion";
    public const string Tool = "Microsoft.ML.EarlyExit.Tool";
    public const string RepositoryUrl = "https://example.org/owner/early-exit";

    /// <summary>The tool's package for this machine; <see cref="Tool"/> only names it and the others.</summary>
    public static readonly string ToolOfThisMachine = $"{Tool}.{RuntimeInformation.RuntimeIdentifier}";

    // The same configuration as this test's: …/bin/Release/net10.0.
    private static readonly string s_configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;

    private readonly TemporaryFolder _folder = new();
    private readonly Lazy<(string[] Folders, string NativePackage)> _restored = new(ReadRestored);

    public string Version { get; } = $"0.1.0-test-{Guid.NewGuid():N}";

    /// <summary>Where the packages are, and only they.</summary>
    public string Source => _folder.File("packages");

    /// <summary>The folders this machine has restored packages to.</summary>
    public IReadOnlyList<string> RestoredFolders => _restored.Value.Folders;

    /// <summary>The native half of ONNX Runtime that the tests use, as NAME/VERSION.</summary>
    public string NativePackage => _restored.Value.NativePackage;

    public async ValueTask InitializeAsync()
    {
        await PackAsync(Evaluation);
        await PackAsync(Library);
        await PackAsync(Conversion);

        // The one that names the others, without making them all; and this machine's, which the build has not made.
        await PackAsync(Tool, "-p:CreateRidSpecificToolPackages=false");
        string rid = RuntimeInformation.RuntimeIdentifier;
        await DotnetCommand.RunAsync(Repository.Folder, "build", Project(Tool), "--no-restore", "--no-dependencies", "-c", s_configuration, "-r", rid, Flavor);
        await PackAsync(Tool, "-r", rid);

        // The list of what was published has a name of its own for every place, and no setting.
        string obj = Path.Combine(Repository.Folder, "src", Tool, "obj", s_configuration);
        foreach (string list in Directory.GetFiles(obj, "PublishOutputs.*.txt", SearchOption.AllDirectories))
        {
            if (File.ReadAllText(list).Contains(_folder.Path, StringComparison.Ordinal))
                File.Delete(list);
        }
    }

    // That of the build that the tests belong to.
    private string Flavor => $"-p:OnnxRuntimeFlavor={(NativePackage.StartsWith("Microsoft.ML.OnnxRuntime.Gpu/", StringComparison.Ordinal) ? "Gpu" : "Cpu")}";

    /// <summary>The project file of a package.</summary>
    internal static string Project(string name) => Path.Combine("src", name, $"{name}.csproj");

    /// <summary>Opens a package.</summary>
    internal PackedPackage Open(string name, string extension = "nupkg") => new(Path.Combine(Source, $"{name}.{Version}.{extension}"));

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    // What would lie under bin and obj by the version's name goes elsewhere.
    private Task PackAsync(string name, params string[] arguments) => DotnetCommand.RunAsync(
        Repository.Folder,
        [
            "pack", Project(name), "--no-build", "-c", s_configuration, "-o", Source, Flavor, $"-p:Version={Version}", $"-p:RepositoryUrl={RepositoryUrl}",
            $"-p:NuspecOutputPath={_folder.File("nuspec")}/", $"-p:PublishDir={_folder.File("publish")}/", .. arguments,
        ]);

    private static (string[] Folders, string NativePackage) ReadRestored()
    {
        using JsonDocument assets = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.Folder, "src", Tool, "obj", "project.assets.json")));
        return (
            [.. assets.RootElement.GetProperty("packageFolders").EnumerateObject().Select(folder => folder.Name)],
            assets.RootElement.GetProperty("libraries").EnumerateObject().Select(library => library.Name)
                .Single(name => name.Split('/')[0] is "Microsoft.ML.OnnxRuntime" or "Microsoft.ML.OnnxRuntime.Gpu"));
    }
}
