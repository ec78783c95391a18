using Microsoft.ML.EarlyExit.Tool.Tests;

[assembly: AssemblyFixture(typeof(ConvertedModels))]

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>Bundles of the repository's models, each converted by the tool when it is first asked for, and deleted after the last test.</summary>
public sealed class ConvertedModels : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Lazy<string> _tiny;
    private readonly Lazy<string> _tinyExit;
    private readonly Lazy<string> _restaurants;

    public ConvertedModels()
    {
        _tiny = new Lazy<string>(() => Convert(Repository.Fixture("models/hf-tiny/tiny-v10")));
        _tinyExit = new Lazy<string>(() => Convert(Repository.Fixture("models/tiny-v11-exit")));
        _restaurants = new Lazy<string>(() => Convert(Path.Combine(Repository.Folder, "samples", "t5-restaurants")));
    }

    /// <summary>512 tokens, 6 decoder layers, no tokenizer.</summary>
    public string Tiny => _tiny.Value;

    /// <summary>1,024 tokens, 8 decoder layers, no tokenizer.</summary>
    public string TinyExit => _tinyExit.Value;

    /// <summary>32,128 tokens, 12 decoder layers, with a tokenizer.</summary>
    public string Restaurants => _restaurants.Value;

    public void Dispose() => _folder.Dispose();

    private string Convert(string source)
    {
        string bundle = _folder.File(Path.GetFileName(source));
        ToolResult result = ToolRunner.Run("convert", source, bundle, "--weights", "fp32");
        Assert.True(result.ExitCode == 0, result.Error);
        return bundle;
    }
}
