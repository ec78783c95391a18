using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Reproduction.Figures;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The packages as their users get them: what is in them, and that they work with nothing of the repository beside them.</summary>
public sealed class PackageTests(PackedPackages packed, ConvertedModels models) : IClassFixture<PackedPackages>, IDisposable
{
    private static readonly string s_rid = RuntimeInformation.RuntimeIdentifier;
    private static readonly string s_toolFolder = $"tools/net10.0/{s_rid}/";

    private static readonly string[] s_prompts =
    [
        "describe: name[Aromi], eatType[pub], food[Indian], near[Crowne Plaza Hotel]",
        "question: Is it family friendly? context: The Wrestlers is an average family friendly place.",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(PackedPackages.Evaluation)]
    [InlineData(PackedPackages.Library)]
    [InlineData(PackedPackages.Conversion)]
    [InlineData(PackedPackages.Tool)]
    public void A_package_says_what_it_is(string name)
    {
        using PackedPackage package = packed.Open(name);

        Assert.Equal((name, packed.Version), (package.Field("id"), package.Field("version")));
        Assert.Equal(("MIT", "expression"), (package.Field("license"), package.Attribute("license", "type")));
        Assert.NotEmpty(package.Field("authors"));
        Assert.NotEqual(name, package.Field("authors"));
        Assert.InRange(package.Field("description").Length, 40, 400);
        Assert.Contains("ML.NET", package.Field("tags").Split(' '));
        Assert.Equal("PACKAGE.md", package.Field("readme"));
        string readme = package.ReadText("PACKAGE.md");
        Assert.Equal(PackedPackages.RepositoryUrl, package.Attribute("repository", "url"));

        // A package's page has no folder for it to point into: what leads into the repository there leads to it on the web.
        string source = File.ReadAllText(Path.Combine(Repository.Folder, "src", name, "PACKAGE.md"));
        Assert.Equal(source.TrimEnd(), Regex.Replace(readme, $@"{Regex.Escape(PackedPackages.RepositoryUrl)}/blob/([0-9a-f]{{40}}|HEAD)/", "../../").TrimEnd());
        Assert.DoesNotMatch(@"\]\((?!https://)", readme);
        Assert.Contains($"]({PackedPackages.RepositoryUrl}/blob/", readme, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(PackedPackages.Evaluation)]
    [InlineData(PackedPackages.Library)]
    [InlineData(PackedPackages.Conversion)]
    public void A_library_brings_its_assembly_and_documentation_and_nothing_else(string name)
    {
        using PackedPackage package = packed.Open(name);

        Assert.Equal([$"{name}.nuspec", "PACKAGE.md", $"lib/net10.0/{name}.dll", $"lib/net10.0/{name}.xml"], package.Files);
        using PEReader assembly = package.OpenAssembly($"lib/net10.0/{name}.dll");
        Assert.True(assembly.HasMetadata);
        XDocument documentation = XDocument.Parse(package.ReadText($"lib/net10.0/{name}.xml"));
        Assert.Equal(name, documentation.Root!.Element("assembly")!.Element("name")!.Value);
        Assert.NotEmpty(documentation.Root.Element("members")!.Elements());
    }

    [Fact]
    public void The_evaluation_depends_on_ml_net_and_neither_on_onnx_runtime_nor_the_library()
    {
        using PackedPackage package = packed.Open(PackedPackages.Evaluation);

        Assert.Equal(["net10.0"], package.DependencyFrameworks);
        Assert.Equal(["Microsoft.ML", "System.Numerics.Tensors"], package.Dependencies.Keys.Order(StringComparer.Ordinal));
        Assert.Empty(package.PackageTypes);
    }

    [Fact]
    public void The_library_depends_on_its_evaluation_ml_net_and_managed_packages_only()
    {
        using PackedPackage package = packed.Open(PackedPackages.Library);

        Assert.Equal(["net10.0"], package.DependencyFrameworks);
        Assert.Equal(
            ["Google.Protobuf", "Microsoft.ML", PackedPackages.Evaluation, "Microsoft.ML.OnnxRuntime.Managed", "System.Numerics.Tensors"],
            package.Dependencies.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("[5.0.1, 6.0.0)", package.Dependencies["Microsoft.ML"]);
        Assert.Equal($"[{packed.Version}]", package.Dependencies[PackedPackages.Evaluation]);
        Assert.Empty(package.PackageTypes);
    }

    [Fact]
    public void The_conversion_depends_on_the_library_of_its_own_version()
    {
        using PackedPackage package = packed.Open(PackedPackages.Conversion);

        Assert.Equal(["net10.0"], package.DependencyFrameworks);
        Assert.Equal(new Dictionary<string, string> { [PackedPackages.Library] = $"[{packed.Version}]" }, package.Dependencies);
        Assert.Empty(package.PackageTypes);
    }

    [Theory]
    [InlineData(PackedPackages.Evaluation)]
    [InlineData(PackedPackages.Library)]
    [InlineData(PackedPackages.Conversion)]
    [InlineData(PackedPackages.Tool)]
    public void The_symbols_are_those_of_the_packed_assemblies(string name)
    {
        name = name == PackedPackages.Tool ? PackedPackages.ToolOfThisMachine : name;
        using PackedPackage package = packed.Open(name);
        using PackedPackage symbols = packed.Open(name, "snupkg");

        Assert.Equal(["SymbolsPackage"], symbols.PackageTypes);
        string[] assemblies = [.. package.Files.Where(file => file.EndsWith(".dll", StringComparison.Ordinal))];
        string[] ours = [.. assemblies.Where(file => Path.GetFileName(file).StartsWith(PackedPackages.Library, StringComparison.Ordinal))];
        string[] pdbs = [.. symbols.Files.Where(file => !file.EndsWith(".nuspec", StringComparison.Ordinal))];
        Assert.Equal(ours.Select(file => Path.ChangeExtension(file, "pdb")).Order(StringComparer.Ordinal), pdbs.Order(StringComparer.Ordinal));
        Assert.All(ours, file => Assert.Equal(package.ReadDebugId(file), symbols.ReadPdbId(Path.ChangeExtension(file, "pdb"))));
    }

    [Fact]
    public void The_tools_package_names_one_for_every_machine_that_onnx_runtime_is_for()
    {
        using PackedPackage package = packed.Open(PackedPackages.Tool);

        Assert.Equal(["DotnetTool"], package.PackageTypes);
        Assert.Empty(package.Dependencies);
        Assert.Equal([$"{PackedPackages.Tool}.nuspec", "PACKAGE.md", "tools/any/any/DotnetToolSettings.xml"], package.Files.Order(StringComparer.Ordinal));
        XElement settings = XDocument.Parse(package.ReadText("tools/any/any/DotnetToolSettings.xml")).Root!;
        Assert.Equal("early-exit", settings.Element("Commands")!.Element("Command")!.Attribute("Name")!.Value);
        Dictionary<string, string> packages = settings.Element("RuntimeIdentifierPackages")!.Elements()
            .ToDictionary(item => item.Attribute("RuntimeIdentifier")!.Value, item => item.Attribute("Id")!.Value);
        Assert.All(packages, item => Assert.Equal($"{PackedPackages.Tool}.{item.Key}", item.Value));
        Assert.Contains(s_rid, packages.Keys);

        // The GPU package has libraries for two of them.
        Assert.Equal(
            packed.NativePackage.StartsWith("Microsoft.ML.OnnxRuntime.Gpu/", StringComparison.Ordinal)
                ? ["linux-x64", "win-x64"]
                : ["linux-arm64", "linux-x64", "osx-arm64", "win-arm64", "win-x64"],
            packages.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_tool_brings_what_it_needs_and_of_native_code_only_its_machines_onnx_runtime_and_skia()
    {
        using PackedPackage package = packed.Open(PackedPackages.ToolOfThisMachine);

        Assert.Equal(["DotnetToolRidPackage"], package.PackageTypes);
        Assert.Empty(package.Dependencies);
        XElement command = XDocument.Parse(package.ReadText(s_toolFolder + "DotnetToolSettings.xml")).Root!.Element("Commands")!.Element("Command")!;
        Assert.Equal(
            ("early-exit", $"{PackedPackages.Tool}.dll", "dotnet"),
            (command.Attribute("Name")!.Value, command.Attribute("EntryPoint")!.Value, command.Attribute("Runner")!.Value));
        Assert.All(
            package.Files.Where(file => file is not ("PACKAGE.md") && !file.EndsWith(".nuspec", StringComparison.Ordinal)),
            file => Assert.StartsWith(s_toolFolder, file));
        Assert.Contains("Bitstream Vera", package.ReadText(s_toolFolder + "DejaVuSans.LICENSE.txt"), StringComparison.Ordinal);
        string[] files = [.. package.Files.Select(file => Path.GetRelativePath(s_toolFolder, file))];
        CheckNatives(s_rid, files);
        foreach (string file in files.Where(file => file.EndsWith(".dll", StringComparison.Ordinal) && !IsNative(file)))
        {
            using PEReader assembly = package.OpenAssembly(s_toolFolder + file.Replace('\\', '/'));
            Assert.True(assembly.HasMetadata, file);
            Assert.DoesNotMatch("(?i)test|xunit|fscheck|cecil|benchmark", Path.GetFileName(file));
        }
    }

    [Theory]
    [InlineData("linux-x64")]
    [InlineData("linux-arm64")]
    [InlineData("osx-arm64")]
    [InlineData("win-x64")]
    [InlineData("win-arm64")]
    public async Task Every_machines_package_would_bring_its_own_natives(string rid)
    {
        Assert.SkipWhen(packed.NativePackage.StartsWith("Microsoft.ML.OnnxRuntime.Gpu/", StringComparison.Ordinal), "The GPU package has fewer machines.");
        ToolResult result = await DotnetCommand.TryRunAsync(
            "dotnet", Repository.Folder, "msbuild", PackedPackages.Project(PackedPackages.Tool), "-t:ComputeResolvedFilesToPublishList",
            "-getItem:ResolvedFileToPublish",
            "-p:Configuration=Release", $"-p:RuntimeIdentifier={rid}", "-p:NoBuild=true");

        Assert.True(result.ExitCode == 0, result.Output + result.Error);
        using JsonDocument items = JsonDocument.Parse(result.Output);
        CheckNatives(rid, [.. items.RootElement.GetProperty("Items").GetProperty("ResolvedFileToPublish").EnumerateArray()
            .Select(item => item.GetProperty("RelativePath").GetString()!)]);
    }

    [Theory]
    [InlineData("Microsoft.ML.Core", "LoadableClassAttribute")]
    [InlineData("Microsoft.ML.Data", "CatalogUtils")]
    public void The_tool_brings_ml_net_as_published(string name, string internalType)
    {
        using PackedPackage package = packed.Open(PackedPackages.ToolOfThisMachine);
        using PEReader assembly = package.OpenAssembly($"{s_toolFolder}{name}.dll");
        MetadataReader metadata = assembly.GetMetadataReader();

        TypeDefinition type = metadata.TypeDefinitions.Select(metadata.GetTypeDefinition).Single(type => metadata.GetString(type.Name) == internalType);

        // The copies that the library is compiled against have it public.
        Assert.Equal(TypeAttributes.NotPublic, type.Attributes & TypeAttributes.VisibilityMask);
    }

    [Fact]
    public async Task A_fresh_project_that_knows_only_ml_net_loads_and_generates_what_was_saved()
    {
        (string zip, string[] expected) = Save();
        using var project = new FreshProject(packed, $"{PackedPackages.Library}/{packed.Version}", packed.NativePackage);
        await project.BuildAsync();
        Assert.Equal([PackedPackages.Library, PackedPackages.Evaluation], project.NewPackages.Order(StringComparer.Ordinal), StringComparer.OrdinalIgnoreCase);

        ToolResult result = await project.RunAsync(zip, s_prompts);

        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(expected, result.Output.Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task Without_the_native_package_a_fresh_project_is_told_to_add_it()
    {
        (string zip, _) = Save();
        using var project = new FreshProject(packed, $"{PackedPackages.Library}/{packed.Version}");
        await project.BuildAsync();
        Assert.Equal(
            ["Microsoft.ML.OnnxRuntime.dll"],
            project.Files.Where(file => file.Contains("onnxruntime", StringComparison.OrdinalIgnoreCase)));

        ToolResult result = await project.RunAsync(zip, s_prompts);

        Assert.Equal(FreshProject.FailedExitCode, result.ExitCode);
        Assert.Contains("Add the package Microsoft.ML.OnnxRuntime (CPU) or Microsoft.ML.OnnxRuntime.Gpu (CUDA)", result.Error, StringComparison.Ordinal);
        Assert.Empty(result.Output);
    }

    [Fact]
    public async Task The_tool_is_installed_from_its_package_and_converts_generates_and_draws()
    {
        FreshProject.WriteNuGetConfig(_folder.Path, packed);
        string tools = _folder.File("tools");
        await DotnetCommand.RunAsync(_folder.Path, "tool", "install", PackedPackages.Tool, "--version", packed.Version, "--tool-path", tools);
        string command = Path.Combine(tools, OperatingSystem.IsWindows() ? "early-exit.exe" : "early-exit");
        string bundle = _folder.File("restaurants.bundle");

        string checkpoint = Path.Combine(Repository.Folder, "samples", "t5-restaurants");
        ToolResult converted = await DotnetCommand.TryRunAsync(command, _folder.Path, "convert", checkpoint, bundle);
        Assert.True(converted.ExitCode == 0, converted.Error);
        ToolResult generated = await DotnetCommand.TryRunAsync(command, _folder.Path, "generate", bundle, "--text", s_prompts[0]);

        Assert.True(generated.ExitCode == 0, generated.Error);
        using EarlyExitModel model = EarlyExitModel.Load(models.Restaurants);
        Assert.Equal(model.Generate(s_prompts[0]).Text, Assert.Single(generated.Rows).GetProperty("text").GetString());

        SavedFigure figure = SavedFigure.Of(new LineFigure("figure", "A title", "layer", [new("mean exit", [new("a", [(1, 2), (2, 3)])])]), _folder.Path);
        byte[] png = figure.Png;
        File.Delete(_folder.File("figure.png"));
        ToolResult drawn = await DotnetCommand.TryRunAsync(command, _folder.Path, "figures", _folder.Path);
        Assert.True(drawn.ExitCode == 0, drawn.Error);
        Assert.Equal(png, figure.Png);
    }

    /// <summary>Checks that of native code there is ONNX Runtime and Skia for a machine, and nothing else.</summary>
    private static void CheckNatives(string rid, string[] files)
    {
        (string prefix, string extension) = rid.Split('-')[0] switch { "win" => ("", "dll"), "osx" => ("lib", "dylib"), _ => ("lib", "so") };
        string[] natives = [.. files.Where(IsNative)];
        Assert.Contains($"{prefix}onnxruntime.{extension}", natives);
        Assert.Contains($"libSkiaSharp.{extension}", natives);
        Assert.All(natives, file => Assert.Matches($@"^({prefix}onnxruntime[a-z_]*|libSkiaSharp)\.{extension}$", file));
    }

    private static bool IsNative(string file) =>
        Regex.IsMatch(file, @"\.(so|dylib|dbg|dwarf|lib)$") || Regex.IsMatch(Path.GetFileName(file), @"^(onnxruntime.*|lib.*|LdaNative)\.dll$");

    /// <summary>Saves a pipeline with early exit; returns the file and what the pipeline itself generates.</summary>
    private (string Zip, string[] Texts) Save()
    {
        string zip = _folder.File("restaurants.zip");
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(s_prompts.Select(prompt => new { Prompt = prompt }));
        var options = new TextGenerationOptions { Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } };
        using TextGenerationTransformer model = context.Transforms.Text.GenerateText("Text", "Prompt", models.Restaurants, options).Fit(data);
        context.Model.Save(model, data.Schema, zip);
        string[] texts = [.. model.Transform(data).GetColumn<string>("Text")];
        Assert.All(texts, Assert.NotEmpty);
        return (zip, texts);
    }
}
