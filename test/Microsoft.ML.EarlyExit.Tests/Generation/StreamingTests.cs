using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class StreamingTests
{
    private static readonly TextGenerationOptions s_options = new()
    {
        Prefix = "describe: ",
        MaxNewTokens = 24,
        Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.8f },
    };

    private static CancellationToken TestToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("name[Blue Spice], eatType[coffee shop], area[city centre]", 100)]
    [InlineData("name[The Waterman], food[Italian]", 5)]
    [InlineData("", 24)]
    public async Task The_tokens_are_those_of_the_result(string text, int maxNewTokens)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        TextGenerationOptions options = s_options with { MaxNewTokens = maxNewTokens };
        GenerationResult expected = model.Generate(text, options, TestToken);

        List<GeneratedToken> tokens = await Read(model.GenerateStreamingAsync(text, options, TestToken));

        Assert.Equal(expected.TokenIds, tokens.Select(token => token.TokenId));
        Assert.Equal(expected.ExitLayers, tokens.Select(token => token.ExitLayer));
        Assert.Equal(expected.Confidences, tokens.Select(token => token.Confidence));
        Assert.Equal(expected.Text, string.Concat(tokens.Select(token => token.TextDelta)));
        Assert.Equal(expected.StopReason, tokens[^1].StopReason);
        Assert.All(tokens.SkipLast(1), token => Assert.Null(token.StopReason));
    }

    [Fact]
    public async Task Ids_of_a_model_without_tokenizer_stream_without_text()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput input = GenerationInput.FromTokenIds([5, 6, 7, 1]);
        var options = new TextGenerationOptions { MaxNewTokens = 9 };

        List<GeneratedToken> tokens = await Read(model.GenerateStreamingAsync(input, options, TestToken));

        Assert.Equal(model.Generate([input], options, TestToken)[0].TokenIds, tokens.Select(token => token.TokenId));
        Assert.All(tokens, token => Assert.Equal("", token.TextDelta));
    }

    [Fact]
    public async Task An_enumeration_can_be_repeated_and_several_run_at_once()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        IAsyncEnumerable<GeneratedToken> stream = model.GenerateStreamingAsync("name[Zizzi], food[French]", s_options, TestToken);
        List<GeneratedToken> first = await Read(stream);

        List<GeneratedToken>[] others = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => Read(stream))));

        Assert.All(others, other => Assert.Equal(first, other));
    }

    [Fact]
    public async Task A_reader_that_leaves_half_way_leaves_nothing_behind()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long unloaded = NativeBuffer.LiveBytes;
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Demo));

        // A model makes some of its memory when a call first needs it.
        await Read(model.GenerateStreamingAsync("name[Aromi], eatType[pub]", s_options, TestToken));
        long before = NativeBuffer.LiveBytes;
        int read = 0;
        await foreach (GeneratedToken _ in model.GenerateStreamingAsync("name[Aromi], eatType[pub]", s_options, TestToken))
        {
            if (++read == 3)
                break;
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);

        // Disposed in the middle, the model lets the enumeration end.
        int tokens = 0;
        await foreach (GeneratedToken _ in model.GenerateStreamingAsync("name[Aromi], eatType[pub]", s_options, TestToken))
        {
            tokens++;
            model.Dispose();
        }

        Assert.InRange(tokens, 4, 24);
        Assert.Equal(unloaded, NativeBuffer.LiveBytes);
        Assert.Throws<ObjectDisposedException>(() => model.GenerateStreamingAsync("name[Aromi]", s_options, TestToken));
    }

    [Fact]
    public async Task Cancellation_ends_it_between_and_within_tokens()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        TextGenerationOptions endless = s_options with { MaxNewTokens = 100_000, MinNewTokens = 100_000 };
        using var between = new CancellationTokenSource();
        var seen = new List<int>();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken token in model.GenerateStreamingAsync("name[Aromi]", endless, between.Token))
            {
                seen.Add(token.TokenId);
                if (seen.Count == 5)
                    between.Cancel();
            }
        });
        Assert.Equal(5, seen.Count);

        // While a token is computed, given to the enumeration instead of the call.
        using var within = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken _ in model.GenerateStreamingAsync("name[Aromi]", endless).WithCancellation(within.Token))
            {
            }
        });
    }

    [Fact]
    public void What_cannot_be_generated_is_refused_before_the_first_token()
    {
        EarlyExitModel demo = TestModels.Model(TestModels.Demo);
        EarlyExitModel exits = TestModels.Model(TestModels.Exits);
        Assert.Throws<ArgumentNullException>(() => demo.GenerateStreamingAsync((string)null!));
        Assert.Contains(
            "MaxInputTokens",
            Assert.Throws<ArgumentException>(() => demo.GenerateStreamingAsync("a b c d", new() { MaxInputTokens = 2, Truncate = false })).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "MinimumLayer",
            Assert.Throws<ArgumentException>(() => demo.GenerateStreamingAsync("a", new() { Exit = new ExitPolicy { MinimumLayer = 99 } })).Message,
            StringComparison.Ordinal);
        Assert.Contains("tokenizer", Assert.Throws<ArgumentException>(() => exits.GenerateStreamingAsync("a")).Message, StringComparison.Ordinal);
        Assert.Contains(
            "-1", Assert.Throws<ArgumentException>(() => exits.GenerateStreamingAsync(GenerationInput.FromTokenIds([-1]))).Message, StringComparison.Ordinal);
    }

    private static async Task<List<GeneratedToken>> Read(IAsyncEnumerable<GeneratedToken> stream)
    {
        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in stream)
            tokens.Add(token);
        return tokens;
    }
}
