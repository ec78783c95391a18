using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The packages of the projects under src, packed from what the tests were built with, under a version that nobody else has; deleted after the
/// last test.</summary>
public sealed class PackedPackages : IAsyncLifetime
{
    public const string Library = "Microsoft.ML.EarlyExit";
    public const string Conversion = "Microsoft.ML.EarlyExit.Conversion";
    public const string Tool = "Microsoft.ML.EarlyExit.Tool";

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
        foreach (string name in (string[])[Library, Conversion, Tool])
        {
            // What would lie under bin and obj by the version's name goes elsewhere.
            await DotnetCommand.RunAsync(
                Repository.Folder,
                "pack", Path.Combine("src", name, $"{name}.csproj"), "--no-build", "-c", s_configuration, "-o", Source, $"-p:Version={Version}",
                $"-p:NuspecOutputPath={_folder.File("nuspec")}/", $"-p:PublishDir={_folder.File("publish")}/");
        }

        // The list of what was published has a name of its own for every place, and no setting.
        string obj = Path.Combine(Repository.Folder, "src", Tool, "obj", s_configuration);
        foreach (string list in Directory.GetFiles(obj, "PublishOutputs.*.txt", SearchOption.AllDirectories))
        {
            if (File.ReadAllText(list).Contains(_folder.Path, StringComparison.Ordinal))
                File.Delete(list);
        }
    }

    /// <summary>Opens a package.</summary>
    internal PackedPackage Open(string name, string extension = "nupkg") => new(Path.Combine(Source, $"{name}.{Version}.{extension}"));

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    private static (string[] Folders, string NativePackage) ReadRestored()
    {
        using JsonDocument assets = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.Folder, "src", Tool, "obj", "project.assets.json")));
        return (
            [.. assets.RootElement.GetProperty("packageFolders").EnumerateObject().Select(folder => folder.Name)],
            assets.RootElement.GetProperty("libraries").EnumerateObject().Select(library => library.Name)
                .Single(name => name.Split('/')[0] is "Microsoft.ML.OnnxRuntime" or "Microsoft.ML.OnnxRuntime.Gpu"));
    }
}
