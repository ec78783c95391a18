using System.Collections.Concurrent;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The checkpoints of the repository as bundles and loaded models, each converted and loaded once per run.</summary>
internal static class TestModels
{
    public const string Demo = "t5-restaurants";
    public const string Exits = "tiny-v11-exit";

    private static readonly Lazy<TemporaryFolder> s_parent = new(() => new TemporaryFolder(Path.GetTempPath()));
    private static readonly ConcurrentDictionary<string, Lazy<string>> s_bundles = new();
    private static readonly ConcurrentDictionary<string, Lazy<EarlyExitModel>> s_models = new();

    public static string Fixture(params string[] path) => Path.Combine([Repository.Folder, "test", "fixtures", .. path]);

    /// <summary>A checkpoint's folder.</summary>
    public static string Checkpoint(string name) => name switch
    {
        Demo => Path.Combine(Repository.Folder, "samples", Demo),
        Exits => Fixture("models", Exits),
        _ => Fixture("models", "hf-tiny", name),
    };

    /// <summary>A bundle's folder; not to be changed.</summary>
    public static string Bundle(string name) => s_bundles.GetOrAdd(name, static key => new Lazy<string>(() =>
    {
        string folder = Path.Combine(s_parent.Value.Path, key);
        T5Converter.Convert(Checkpoint(key), folder);
        return folder;
    })).Value;

    /// <summary>A loaded model that all tests share; not to be disposed.</summary>
    public static EarlyExitModel Model(string name) =>
        s_models.GetOrAdd(name, static key => new Lazy<EarlyExitModel>(() => EarlyExitModel.Load(Bundle(key)))).Value;
}
