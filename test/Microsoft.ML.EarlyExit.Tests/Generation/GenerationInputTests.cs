using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class GenerationInputTests
{
    private static readonly TextGenerationOptions s_short = new() { MaxNewTokens = 6 };

    private static EarlyExitModel Model => TestModels.Model(TestModels.Demo);

    [Fact]
    public void Null_is_refused_and_the_empty_text_is_not()
    {
        Assert.Throws<ArgumentNullException>(() => { Model.Generate((string)null!); });
        Assert.Throws<ArgumentNullException>(() => { GenerationInput.FromText(null!); });
        Assert.Throws<ArgumentNullException>(() => { GenerationInput.FromTokenIds(null!); });
        GenerationResult result = Model.Generate("", s_short);
        Assert.NotEmpty(result.TokenIds);
        Assert.Null(result.Error);
    }

    [Fact]
    public void A_row_that_was_never_given_is_an_error_of_that_row()
    {
        GenerationResult result = Model.Generate([default], s_short)[0];
        Assert.Equal(StopReason.Error, result.StopReason);
        Assert.Contains("neither", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_text_is_cut_and_says_so()
    {
        string text = string.Concat(Enumerable.Repeat("describe the place. ", 5000));
        GenerationResult cut = Model.Generate(text, s_short);
        IReadOnlyList<int> ids = Model.Tokenizer!.Encode(text);
        Assert.Equal(ids.Count - 512, cut.CutInputTokens);
        GenerationResult expected = Model.Generate([GenerationInput.FromTokenIds([.. ids.Take(511), 1])], s_short)[0];
        Assert.Equal(expected.TokenIds, cut.TokenIds);
        Assert.Equal(0, expected.CutInputTokens);
    }

    [Fact]
    public void A_long_text_is_refused_where_it_may_not_be_cut()
    {
        TextGenerationOptions options = s_short with { Truncate = false, MaxInputTokens = 4 };
        var exception = Assert.Throws<ArgumentException>(() => { Model.Generate("one two three four five six", options); });
        Assert.Contains("MaxInputTokens", exception.Message, StringComparison.Ordinal);
        IReadOnlyList<GenerationResult> rows = Model.Generate([GenerationInput.FromTokenIds([5, 6, 7, 8, 1]), GenerationInput.FromTokenIds([5, 1])], options);
        Assert.Equal(StopReason.Error, rows[0].StopReason);
        Assert.Null(rows[1].Error);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(32128)]
    [InlineData(int.MaxValue)]
    public void An_id_outside_the_vocabulary_is_an_error_of_its_row_alone(int id)
    {
        IReadOnlyList<GenerationResult> rows = Model.Generate(
            [GenerationInput.FromTokenIds([5, id, 1]), GenerationInput.FromTokenIds([5, 1]), GenerationInput.FromTokenIds([])], s_short with { BatchSize = 3 });
        Assert.Contains($"{id} at position 1", rows[0].Error, StringComparison.Ordinal);
        Assert.Null(rows[1].Error);
        Assert.NotEmpty(rows[1].TokenIds);
        Assert.Equal(StopReason.Error, rows[2].StopReason);
    }

    [Fact]
    public void Lone_surrogates_are_read_as_the_replacement_character()
    {
        GenerationResult lone = Model.Generate("a \ud800 b \udc00", s_short);
        GenerationResult replaced = Model.Generate("a \ufffd b \ufffd", s_short);
        Assert.Equal(replaced.TokenIds, lone.TokenIds);
    }

    [Fact]
    public void The_prefix_comes_before_texts_and_not_before_ids()
    {
        GenerationResult expected = Model.Generate("describe: name[Aromi]", s_short);
        Assert.Equal(expected.TokenIds, Model.Generate("name[Aromi]", s_short with { Prefix = "describe: " }).TokenIds);
        GenerationInput ids = GenerationInput.FromTokenIds(Model.Tokenizer!.Encode("describe: name[Aromi]"));
        Assert.Equal(expected.TokenIds, Model.Generate([ids], s_short with { Prefix = "question: " })[0].TokenIds);
    }

    [Fact]
    public void A_model_without_tokenizer_takes_ids_only()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        Assert.Null(model.Tokenizer);
        var exception = Assert.Throws<InvalidOperationException>(() => { model.Generate("text"); });
        Assert.Contains("tokenizer", exception.Message, StringComparison.Ordinal);
        Assert.Null(model.Generate([GenerationInput.FromTokenIds([5, 1])], s_short)[0].Text);
    }

    [Fact]
    public void Options_that_do_not_fit_each_other_or_the_model_are_refused()
    {
        Assert.Throws<ArgumentException>(() => { Model.Generate("a", new TextGenerationOptions { MinNewTokens = 7, MaxNewTokens = 6 }); });
        Assert.Throws<ArgumentException>(() => { Model.Generate("a", new TextGenerationOptions { Exit = new ExitPolicy { MinimumLayer = 13 } }); });
        Assert.Throws<ArgumentException>(() => { Model.Generate("a", new TextGenerationOptions { Exit = new ExitPolicy { StaticExitLayer = 13 } }); });
        Assert.Throws<ArgumentException>(() => { Model.Generate("a", new TextGenerationOptions { Exit = new ExitPolicy { Thresholds = [0.5f] } }); });
    }

    [Fact]
    public void More_rows_side_by_side_than_their_logits_allow_are_refused()
    {
        T5Configuration configuration = Model.Configuration with { VocabularySize = 1 << 22 };
        LoadedModel.CheckBatchSize(new TextGenerationOptions { BatchSize = 511 }, configuration);
        string message = Assert.Throws<ArgumentException>(
            "options", () => LoadedModel.CheckBatchSize(new TextGenerationOptions { BatchSize = 512 }, configuration)).Message;
        Assert.Contains("BatchSize is 512; with a vocabulary of 4194304 tokens it can be at most 511.", message, StringComparison.Ordinal);
        Model.CheckOptions(new TextGenerationOptions { BatchSize = 1024 });
    }

    [Fact]
    public void What_a_confidence_or_the_weights_do_wrong_is_not_the_text_s_fault()
    {
        var two = Confidence.Custom("two", ConfidenceNeeds.Logits, _ => 2);
        var exception = Assert.Throws<InvalidOperationException>(
            () => { Model.Generate("a", s_short with { Exit = new ExitPolicy { Confidence = two } }); });
        Assert.Contains("The confidence 'two' of token 0", exception.Message, StringComparison.Ordinal);

        using var tampered = new TamperedBundle(withTokenizer: true);
        tampered.EditTensor("decoder.final_norm", 3, 1, float.NaN);
        using EarlyExitModel spoilt = EarlyExitModel.Load(tampered.Folder);
        exception = Assert.Throws<InvalidOperationException>(() => { spoilt.Generate("", s_short); });
        Assert.Contains("holds a NaN", exception.Message, StringComparison.Ordinal);

        // Longer than its encoder may be.
        string text = string.Concat(Enumerable.Repeat("describe the place. ", 100));
        Assert.Contains(
            "EncoderMemoryMB",
            Assert.Throws<ArgumentException>("text", () => { Model.Generate(text, s_short with { EncoderMemoryMB = 1 }); }).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_outside_their_range_are_refused_where_they_are_given()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { MaxNewTokens = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { MinNewTokens = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { MaxInputTokens = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { RepetitionPenalty = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { RepetitionPenalty = float.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { NoRepeatNgramSize = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { BatchSize = 0 });
        Assert.Throws<ArgumentNullException>(() => new TextGenerationOptions { Prefix = null! });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { MinimumLayer = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { Threshold = 1.01f });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { Threshold = float.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { Thresholds = [0.5f, -0.1f] });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { ThresholdTemperature = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitPolicy { StaticExitLayer = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new EarlyExitModelOptions { ThreadCount = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new EarlyExitModelOptions { GpuDeviceId = -1 });
    }
}
