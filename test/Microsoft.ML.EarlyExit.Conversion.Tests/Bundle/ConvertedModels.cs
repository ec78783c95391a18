using System.Collections.Concurrent;
using Microsoft.ML.EarlyExit.Conversion.Tests;

[assembly: AssemblyFixture(typeof(ConvertedModels))]

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>The repository's checkpoints as bundles, each converted once per run.</summary>
public sealed class ConvertedModels : IDisposable
{
    private static readonly Dictionary<string, string> s_sources = new()
    {
        ["tiny-v10"] = "test/fixtures/models/hf-tiny/tiny-v10",
        ["tiny-v11"] = "test/fixtures/models/hf-tiny/tiny-v11",
        ["tiny-sharded"] = "test/fixtures/models/hf-tiny/tiny-sharded",
        ["tiny-buckets"] = "test/fixtures/models/hf-tiny/tiny-buckets",
        ["tiny-v11-exit"] = "test/fixtures/models/tiny-v11-exit",
        ["t5-restaurants"] = "samples/t5-restaurants",
    };

    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentDictionary<(string Name, WeightPrecision Weights), Lazy<string>> _bundles = new();

    public static IEnumerable<string> Names => s_sources.Keys;

    /// <summary>The checkpoint's folder.</summary>
    public static string Source(string name) => Path.Combine([Repository.Folder, .. s_sources[name].Split('/')]);

    /// <summary>The bundle's folder.</summary>
    public string Bundle(string name, WeightPrecision weights = WeightPrecision.Float32) => _bundles.GetOrAdd((name, weights), key => new Lazy<string>(() =>
    {
        string target = _folder.File($"{key.Name}-{key.Weights}");
        T5Converter.Convert(Source(key.Name), target, new T5ConversionOptions { Weights = key.Weights });
        return target;
    })).Value;

    public void Dispose() => _folder.Dispose();
}
