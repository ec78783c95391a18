using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.EarlyExit.Scoring;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A row whose encoder would take more memory than there may be is an error of its own.</summary>
public sealed class LongRowTests
{
    private static readonly TextGenerationOptions s_options = new()
    {
        MaxInputTokens = 1 << 20,
        MaxNewTokens = 12,
        Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f },
    };

    private static readonly EarlyExitModel s_model = TestModels.Model(TestModels.Exits);

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(4, 1)]
    [InlineData(4, 3)]
    public void An_over_long_row_is_its_own_error_and_its_neighbours_are_unharmed(int batchSize, int place)
    {
        List<int[]> rows = [Ids(3), Ids(40), Ids(7)];
        IReadOnlyList<GenerationResult> alone = s_model.Generate([.. rows.Select(row => GenerationInput.FromTokenIds(row))], s_options);
        rows.Insert(place, Ids(1000));
        List<GenerationResult> results =
            [.. s_model.Generate([.. rows.Select(row => GenerationInput.FromTokenIds(row))], s_options with { EncoderMemoryMB = 8, BatchSize = batchSize })];

        GenerationResult failed = results[place];
        Assert.Equal(StopReason.Error, failed.StopReason);
        Assert.Empty(failed.TokenIds);
        string estimate = $"{(RowMemory.Encoder(s_model.Bundle, 1000) + (1 << 20) - 1) >> 20} MB of memory";
        foreach (string said in new[] { "1000 tokens", estimate, "limit of 8 MB", "MaxInputTokens", "EncoderMemoryMB" })
            Assert.Contains(said, failed.Error, StringComparison.Ordinal);
        results.RemoveAt(place);
        Assert.Equal(alone.Select(row => row.TokenIds), results.Select(row => row.TokenIds));
        Assert.Equal(alone.Select(row => row.ExitLayers), results.Select(row => row.ExitLayers));
    }

    [Fact]
    public void A_million_ids_are_refused_by_the_default_limit()
    {
        GenerationResult[] results =
            [.. s_model.Generate([GenerationInput.FromTokenIds(Ids(1_000_000)), GenerationInput.FromTokenIds(Ids(3))], s_options with { BatchSize = 2 })];
        Assert.Equal(StopReason.Error, results[0].StopReason);
        Assert.Contains("memory", results[0].Error, StringComparison.Ordinal);
        Assert.NotEqual(StopReason.Error, results[1].StopReason);
        Assert.InRange(RowMemory.DefaultLimit, 1, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
    }

    [Fact]
    public async Task A_stream_says_it_when_it_is_read()
    {
        IAsyncEnumerable<GeneratedToken> stream =
            s_model.GenerateStreamingAsync(GenerationInput.FromTokenIds(Ids(1000)), s_options with { EncoderMemoryMB = 8 });
        var exception = await Assert.ThrowsAsync<InvalidOperationException>(async () => await stream.GetAsyncEnumerator().MoveNextAsync());
        Assert.Contains("EncoderMemoryMB", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Scoring_holds_inputs_and_targets_to_the_limit()
    {
        using var scorer = new LayerScorer(s_model, null);
        TextGenerationOptions limited = s_options with { EncoderMemoryMB = 8, MaxNewTokens = 2000 };
        (GenerationInput Long, GenerationInput Short) rows = (GenerationInput.FromTokenIds(Ids(1000)), GenerationInput.FromTokenIds(Ids(5)));
        Assert.Contains("encoder over 1000 tokens", scorer.Score(rows.Long, rows.Short, limited).Error, StringComparison.Ordinal);
        Assert.Contains("target of 1000 tokens", scorer.Score(rows.Short, rows.Long, limited).Error, StringComparison.Ordinal);
        Assert.Null(scorer.Score(rows.Short, rows.Short, limited).Error);
    }

    [Fact]
    public void A_calibration_names_the_row()
    {
        CalibrationPrompt[] prompts = [Prompt(6, 5), Prompt(7, 1000)];
        using var runner = new CandidateRunner(s_model, s_options with { EncoderMemoryMB = 8 }, prompts, default);
        var exception = Assert.Throws<InvalidOperationException>(() => runner.Run(null, null));
        Assert.StartsWith("Row 7,", exception.Message, StringComparison.Ordinal);
        Assert.Contains("limit of 8 MB", exception.Message, StringComparison.Ordinal);

        static CalibrationPrompt Prompt(int row, int length) => new(row, new PreparedInput(Ids(length), 0, null), []);
    }

    [Fact]
    public void Memory_that_the_encoder_cannot_have_is_the_rows_error_and_not_the_models()
    {
        const int Length = 150_000;
        const long LeastTensor = (long)Length * Length * sizeof(long);
        bool canFail = OperatingSystem.IsLinux() && File.ReadAllText("/proc/sys/vm/overcommit_memory").Trim() == "0";
        Assert.SkipUnless(
            canFail && GC.GetGCMemoryInfo().TotalAvailableMemoryBytes < LeastTensor / 2, "Here the system may promise memory that it does not have.");
        GenerationResult[] results =
        [
            .. s_model.Generate(
                [GenerationInput.FromTokenIds(Ids(Length)), GenerationInput.FromTokenIds(Ids(3))], s_options with { BatchSize = 2, EncoderMemoryMB = 1 << 20 }),
        ];
        Assert.Equal(StopReason.Error, results[0].StopReason);
        Assert.Contains("it ran out", results[0].Error, StringComparison.Ordinal);
        Assert.DoesNotContain("onvert", results[0].Error, StringComparison.Ordinal);
        Assert.NotEqual(StopReason.Error, results[1].StopReason);
    }

    [Fact]
    public void Only_what_says_so_counts_as_memory_that_ran_out()
    {
        Assert.True(RowMemory.IsExhausted(new OutOfMemoryException()));
        Assert.False(RowMemory.IsExhausted(Assert.Throws<OnnxRuntimeException>(() => new InferenceSession((byte[])[1, 2, 3]))));
        Assert.False(RowMemory.IsExhausted(new InvalidOperationException("out of memory")));
    }

    [Fact]
    public void One_long_row_takes_no_memory_for_the_others()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Memory is read in /proc.");
        // With room for the longest row in every slot the caches alone would take 3 GB more; the encoder takes 90 MB for it.
        Assert.InRange(Peak("rows:1024:1000:1") - Peak("rows:1024:0:1"), -100, 250);

        // Seven long rows run at a time and take 3 MB each; in slots of their own the seventy of them would take 210 MB.
        Assert.InRange(Peak("rows:256:37:10") - Peak("rows:256:37:1"), -100, 100);

        static int Peak(string step)
        {
            using var process = new RuntimeProcess([], step);
            return int.Parse(Assert.Single(process.Values("peak")), System.Globalization.CultureInfo.InvariantCulture);
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(5 << 20)]
    public void Memory_for_caches_is_zeroed_and_aligned(long bytes)
    {
        using NativeBuffer buffer = NativeBuffer.Sparse(bytes);
        Assert.Equal(0, buffer.Address % 64);
        Assert.False(buffer.Span<byte>(0, (int)bytes).ContainsAnyExcept((byte)0));
        buffer.Span<byte>(0, (int)bytes).Fill(1);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Span<byte>(1, (int)bytes));
    }

    private static int[] Ids(int length) => [.. Enumerable.Range(0, length).Select(index => 2 + (index % 200))];
}
