using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What a checkpoint's generation_config.json asks for holds wherever options say nothing.</summary>
public sealed class CheckpointDefaultsTests : IDisposable
{
    private const string Asked = """{"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "min_new_tokens": 12, "max_new_tokens": 30}""";

    private static readonly TextGenerationOptions s_same = new() { RepetitionPenalty = 1.7f, NoRepeatNgramSize = 2, MinNewTokens = 12, MaxNewTokens = 30 };
    private static readonly TextGenerationOptions s_off = new() { RepetitionPenalty = 1, NoRepeatNgramSize = 0, MinNewTokens = 0, MaxNewTokens = 30 };
    private static readonly string[] s_texts = ["1 2 3", "42", "7 7 7 7", "", "600 <extra_id_0> 5"];

    private readonly TextCheckpoint _checkpoint = new();

    public void Dispose() => _checkpoint.Dispose();

    [Fact]
    public void They_hold_where_options_say_nothing_and_nowhere_else()
    {
        using EarlyExitModel plain = _checkpoint.Load();
        Assert.Equal(1, plain.Bundle.Manifest.FormatVersion);
        using var other = new TextCheckpoint();
        other.Write("generation_config.json", Asked);
        using EarlyExitModel asked = other.Load();
        Assert.Equal(2, asked.Bundle.Manifest.FormatVersion);
        Assert.Equal(
            (12, 1.7f, 2, 30),
            (asked.Configuration.MinNewTokens, asked.Configuration.RepetitionPenalty, asked.Configuration.NoRepeatNgramSize, asked.Configuration.MaxNewTokens));

        AssertSame(plain, s_same, asked, new TextGenerationOptions());
        AssertSame(plain, s_off, asked, s_off);
        AssertSame(plain, s_same with { RepetitionPenalty = 3 }, asked, new TextGenerationOptions { RepetitionPenalty = 3 });
        AssertSame(plain, s_same with { NoRepeatNgramSize = 1 }, asked, new TextGenerationOptions { NoRepeatNgramSize = 1 });
        AssertSame(plain, s_same with { MinNewTokens = 20 }, asked, new TextGenerationOptions { MinNewTokens = 20 });

        // Otherwise the above would say nothing.
        Assert.NotEqual(Generate(asked, s_off), Generate(asked, new TextGenerationOptions()));
    }

    [Fact]
    public void They_hold_with_early_exits_and_self_speculation()
    {
        using EarlyExitModel plain = _checkpoint.Load();
        using var other = new TextCheckpoint();
        other.Write("generation_config.json", Asked);
        using EarlyExitModel asked = other.Load();
        var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.2f, SelfSpeculation = new SelfSpeculation { DraftTokens = 3 } };
        AssertSame(plain, s_same with { Exit = policy, BatchSize = 3 }, asked, new TextGenerationOptions { Exit = policy, BatchSize = 3 });
    }

    [Fact]
    public void A_minimum_of_the_checkpoint_ends_where_the_maximum_is()
    {
        _checkpoint.Write("generation_config.json", Asked);
        using EarlyExitModel model = _checkpoint.Load();
        GenerationResult result = model.Generate("1 2 3", new TextGenerationOptions { MaxNewTokens = 5 }, TestContext.Current.CancellationToken);
        Assert.Equal((5, StopReason.MaxNewTokens), (result.TokenIds.Count, result.StopReason));

        // One that was asked for must be possible.
        string message = Assert.Throws<ArgumentException>(
            () => model.Generate("1", new TextGenerationOptions { MinNewTokens = 31 }, TestContext.Current.CancellationToken)).Message;
        Assert.Contains("MinNewTokens is 31", message);
        Assert.Contains("30", message);
    }

    [Fact]
    public async Task Streaming_has_them_too()
    {
        _checkpoint.Write("generation_config.json", Asked);
        using EarlyExitModel model = _checkpoint.Load();
        List<int> streamed = [];
        await foreach (GeneratedToken token in model.GenerateStreamingAsync("42", cancellationToken: TestContext.Current.CancellationToken))
            streamed.Add(token.TokenId);
        Assert.Equal(model.Generate("42", s_same, TestContext.Current.CancellationToken).TokenIds, streamed);
    }

    [Fact]
    public void A_saved_pipeline_says_as_much_as_its_options_did()
    {
        _checkpoint.Write("generation_config.json", Asked);
        _checkpoint.Convert();
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(s_texts.Select(text => new DemoRow { Prompt = text }));
        string path = Path.Combine(Path.GetDirectoryName(_checkpoint.Bundle)!, "saved.zip");
        using EarlyExitModel model = EarlyExitModel.Load(_checkpoint.Bundle);
        foreach (TextGenerationOptions options in (TextGenerationOptions[])[new(), s_off, new() { NoRepeatNgramSize = 0 }])
        {
            using TextGenerationTransformer transformer = context.Transforms.Text.GenerateText("Text", "Prompt", _checkpoint.Bundle, options).Fit(data);
            context.Model.Save(transformer, data.Schema, path);
            using var loaded = (TextGenerationTransformer)context.Model.Load(path, out _);
            string[] expected =
                [.. model.Generate([.. s_texts.Select(GenerationInput.FromText)], options, TestContext.Current.CancellationToken)
                    .Select(result => result.Text!)];
            Assert.Equal(expected, loaded.Transform(data).GetColumn<string>("Text"));
        }
    }

    private static void AssertSame(EarlyExitModel first, TextGenerationOptions firstOptions, EarlyExitModel second, TextGenerationOptions secondOptions) =>
        Assert.Equal(Generate(first, firstOptions), Generate(second, secondOptions));

    private static IEnumerable<string> Generate(EarlyExitModel model, TextGenerationOptions options) => model
        .Generate([.. s_texts.Select(GenerationInput.FromText)], options, TestContext.Current.CancellationToken)
        .Select(result => $"{result.StopReason}: {string.Join(' ', result.TokenIds)}");
}
