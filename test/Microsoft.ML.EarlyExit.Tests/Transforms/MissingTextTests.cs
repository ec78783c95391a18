using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Rows without a text: what becomes of them, and of the rows beside them.</summary>
public sealed class MissingTextTests : IDisposable
{
    private static readonly TextGenerationOptions s_options = new() { Prefix = "describe: ", MaxNewTokens = 8 };

    private readonly MLContext _context = new();
    private readonly EarlyExitModel _model = TestModels.Model(TestModels.Demo);
    private readonly string _folder = Directory.CreateTempSubdirectory("early-exit-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Missing_in_is_missing_out(int batchSize)
    {
        DemoRow[] rows = Rows();
        using TextGenerationTransformer transformer = Fit(s_options with { BatchSize = batchSize }, rows);
        IDataView output = transformer.Transform(Load(rows));

        string?[] texts = [.. Read<ReadOnlyMemory<char>>(output, "Text").Select(text => ReferenceReader.IsMissing(text) ? null : text.ToString())];

        Assert.Equal([Text(rows[0].Prompt), null, Text(""), Text(rows[3].Prompt)], texts);
        Assert.Equal("MissingText", output.GetColumn<string>("Why").ElementAt(1));
        Assert.Empty(output.GetColumn<int[]>("Ids").ElementAt(1));
        Assert.Empty(output.GetColumn<int[]>("Layers").ElementAt(1));
        Assert.Empty(output.GetColumn<float[]>("Confidences").ElementAt(1));
        Assert.Equal([0L, 0, 0, 0, 0], output.GetColumn<long[]>("Counts").ElementAt(1));
        Assert.DoesNotContain("MissingText", output.GetColumn<string>("Why").Where((_, row) => row != 1));
    }

    [Fact]
    public void A_missing_text_throws_nothing_where_no_column_says_why()
    {
        DemoRow[] rows = Rows();
        using TextGenerationTransformer transformer = _context.Transforms.Text.GenerateText("Text", "Prompt", _model, s_options).Fit(Load(rows));

        Assert.Equal(4, transformer.Transform(Load(rows)).GetColumn<string>("Text").Count());
        using var engine = _context.Model.CreatePredictionEngine<DemoRow, DemoOutput>(transformer);
        Assert.True(string.IsNullOrEmpty(engine.Predict(rows[1]).Text));
        Assert.Equal(Text(rows[0].Prompt), engine.Predict(rows[0]).Text);
    }

    [Fact]
    public void The_options_can_make_it_the_empty_text_also_after_saving()
    {
        DemoRow[] rows = Rows();
        using TextGenerationTransformer transformer = Fit(s_options with { MissingTexts = MissingTextHandling.UseEmptyText }, rows);
        string zip = Path.Combine(_folder, "model.zip");
        _context.Model.Save(transformer, Load(rows).Schema, zip);
        ITransformer loaded = _context.Model.Load(zip, out _);

        foreach (ITransformer model in (ITransformer[])[transformer, loaded])
            Assert.Equal([Text(rows[0].Prompt), Text(""), Text(""), Text(rows[3].Prompt)], model.Transform(Load(rows)).GetColumn<string>("Text"));
        ((IDisposable)loaded).Dispose();
    }

    [Fact]
    public void Rows_without_a_text_have_no_part_in_the_figures()
    {
        DemoRow[] rows = Rows();
        using TextGenerationTransformer transformer = Fit(s_options, rows);

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(
            transformer.Transform(Load(rows)),
            new() { PredictionColumnName = "Text", LabelColumnName = "Name", ExitLayersColumnName = "Layers", StopReasonColumnName = "Why" });

        Assert.Equal((4, 1, 0, 0), (metrics.RowCount, metrics.MissingPredictionCount, metrics.MissingReferenceCount, metrics.FailedRowCount));
        Assert.Equal(3, metrics.Exits!.TokenCountByPosition[0]);
    }

    [Fact]
    public async Task A_missing_input_of_a_model_is_skipped_and_of_a_stream_gives_no_token()
    {
        IReadOnlyList<GenerationResult> results = _model.Generate([GenerationInput.Missing, GenerationInput.FromText("")], s_options);

        Assert.Equal((null, StopReason.MissingText, null), (results[0].Text, results[0].StopReason, results[0].Error));
        Assert.Empty(results[0].TokenIds);
        Assert.Equal(Text(""), results[1].Text);
        await foreach (GeneratedToken _ in _model.GenerateStreamingAsync(GenerationInput.Missing, s_options, TestContext.Current.CancellationToken))
            Assert.Fail("There is nothing to generate from.");
        TextGenerationOptions empty = s_options with { MissingTexts = MissingTextHandling.UseEmptyText };
        Assert.Equal(Text(""), _model.Generate([GenerationInput.Missing], empty)[0].Text);
        Assert.True(GenerationInput.Missing.IsMissing);
        Assert.False(default(GenerationInput).IsMissing);
    }

    [Fact]
    public void Rows_without_a_text_have_no_scores()
    {
        DemoRow[] rows = Rows();
        rows[3].Name = null!;
        using LayerScoringTransformer scoring = _context.Transforms.Text.ScoreLayers(new LayerScoringEstimator.Options
        {
            InputColumnName = "Prompt", TargetColumnName = "Name", Model = _model, ArgMaxColumnName = "Best", TargetIdsColumnName = "Ids",
        }).Fit(Load(rows));
        IDataView output = scoring.Transform(Load(rows));

        int[][] ids = [.. output.GetColumn<int[]>("Ids")];
        int[][] best = [.. output.GetColumn<int[]>("Best")];
        Assert.Equal([false, true, false, true], ids.Select(row => row.Length == 0));
        Assert.Equal(ids.Select(row => row.Length * _model.Configuration.DecoderLayerCount), best.Select(row => row.Length));
    }

    [Fact]
    public void A_calibration_refuses_a_prompt_without_a_text()
    {
        DemoRow[] rows = Rows();
        ExitCalibrationEstimator calibration = _context.TextGeneration.CalibrateExit(new ExitCalibrationEstimator.Options
        {
            Generation = new() { OutputColumnName = "Text", InputColumnName = "Prompt", Model = _model, GenerationOptions = s_options },
            Policies = [new ExitPolicy()], Delta = 0.3, Epsilon = 0.2, Loss = CalibrationLoss.RougeL,
        });

        string message = Assert.Throws<InvalidOperationException>(() => calibration.Fit(Load(rows))).Message;

        Assert.Contains("Row 1", message, StringComparison.Ordinal);
        Assert.Contains("text is missing", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "missingTexts": "skip" }""", MissingTextHandling.Skip)]
    [InlineData("""{ "missingTexts": "useEmptyText" }""", MissingTextHandling.UseEmptyText)]
    [InlineData("{}", MissingTextHandling.Skip)]
    public void It_is_saved_with_the_options(string json, MissingTextHandling expected)
    {
        TextGenerationOptions options = TextGenerationOptionsJson.Parse(json, "o");

        Assert.Equal(expected, options.MissingTexts);
        Assert.Equal(options, TextGenerationOptionsJson.Parse(TextGenerationOptionsJson.Write(options), "o"));
        Assert.Contains(
            "skip or useEmptyText",
            Assert.Throws<InvalidDataException>(() => TextGenerationOptionsJson.Parse("""{ "missingTexts": "no" }""", "o")).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationOptions { MissingTexts = (MissingTextHandling)2 });
    }

    private static DemoRow[] Rows()
    {
        DemoRow[] rows = DemoRow.Create(4);
        rows[1].Prompt = null;
        rows[2].Prompt = "";
        return rows;
    }

    private static IEnumerable<T> Read<T>(IDataView data, string name)
    {
        using DataViewRowCursor cursor = data.GetRowCursor([data.Schema[name]]);
        ValueGetter<T> get = cursor.GetGetter<T>(data.Schema[name]);
        T value = default!;
        while (cursor.MoveNext())
        {
            get(ref value);
            yield return value;
        }
    }

    private string? Text(string? prompt) => _model.Generate(prompt!, s_options).Text;

    private IDataView Load(DemoRow[] rows) => _context.Data.LoadFromEnumerable(rows);

    private TextGenerationTransformer Fit(TextGenerationOptions options, DemoRow[] rows) =>
        _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text", InputColumnName = "Prompt", Model = _model, GenerationOptions = options,
            TokenIdsColumnName = "Ids", ExitLayersColumnName = "Layers",
            ConfidencesColumnName = "Confidences", StopReasonColumnName = "Why", OperationCountsColumnName = "Counts",
        }).Fit(Load(rows));
}
