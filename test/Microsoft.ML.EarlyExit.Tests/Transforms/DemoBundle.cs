using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The demo checkpoint as a model bundle, converted once per run.</summary>
internal static class DemoBundle
{
    private static readonly Lazy<TemporaryFolder> s_parent = new(Convert);

    public static string Folder => Path.Combine(s_parent.Value.Path, "bundle");

    private static TemporaryFolder Convert()
    {
        string repository = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(repository, "Microsoft.ML.EarlyExit.sln")))
            repository = Path.GetDirectoryName(repository) ?? throw new DirectoryNotFoundException("The tests do not run inside the repository.");
        var parent = new TemporaryFolder(Path.GetTempPath());
        T5Converter.Convert(Path.Combine(repository, "samples", "t5-restaurants"), Path.Combine(parent.Path, "bundle"));
        return parent;
    }
}
