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
    private readonly Lazy<string> _tinyText;
    private readonly Lazy<string> _otherTinyText;

    public ConvertedModels()
    {
        _tiny = new Lazy<string>(() => Convert(Repository.Fixture("models/hf-tiny/tiny-v10")));
        _tinyExit = new Lazy<string>(() => Convert(Repository.Fixture("models/tiny-v11-exit")));
        _tinyText = new Lazy<string>(() => ConvertTinyText("tiny-text", seed: 1));
        _otherTinyText = new Lazy<string>(() => ConvertTinyText("other-tiny-text", seed: 2));
        _restaurants = new Lazy<string>(() => Convert(Path.Combine(Repository.Folder, "samples", "t5-restaurants")));
    }

    /// <summary>512 tokens, 6 decoder layers, no tokenizer.</summary>
    public string Tiny => _tiny.Value;

    /// <summary>1,024 tokens, 8 decoder layers, no tokenizer.</summary>
    public string TinyExit => _tinyExit.Value;

    /// <summary>32,128 tokens, 12 decoder layers, with a tokenizer.</summary>
    public string Restaurants => _restaurants.Value;

    /// <summary>356 tokens, 4 decoder layers, with a tokenizer; random weights.</summary>
    public string TinyText => _tinyText.Value;

    /// <summary>As <see cref="TinyText"/>, with other weights.</summary>
    public string OtherTinyText => _otherTinyText.Value;

    public void Dispose() => _folder.Dispose();

    private string ConvertTinyText(string name, int seed)
    {
        string source = _folder.File($"{name}-checkpoint");
        TinyTextCheckpoint.Write(source, seed);
        return Convert(source, name);
    }

    private string Convert(string source) => Convert(source, Path.GetFileName(source));

    private string Convert(string source, string name)
    {
        string bundle = _folder.File(name);
        ToolResult result = ToolRunner.Run("convert", source, bundle, "--weights", "fp32");
        Assert.True(result.ExitCode == 0, result.Error);
        return bundle;
    }
}
