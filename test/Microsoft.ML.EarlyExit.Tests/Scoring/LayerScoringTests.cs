using System.Diagnostics;
using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Scoring;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Layer scores as columns of a pipeline.</summary>
[Collection("Native memory")]
public sealed class LayerScoringTests : IDisposable
{
    private static readonly TextGenerationOptions s_options = new()
    {
        Exit = new ExitPolicy { MinimumLayer = 3, Confidence = Confidence.JsdContrastive(new ContrastiveOptions { Alpha = 0.05f }), Threshold = 0.7f },
    };

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly MLContext _context = new(seed: 1);
    private readonly EarlyExitModel _model = TestModels.Model(TestModels.Demo);
    private readonly TrainingRow[] _rows = TrainingRow.Read(5);
    private readonly List<string> _said = [];

    public LayerScoringTests() => _context.Log += (_, log) =>
    {
        if (log.Kind is ChannelMessageKind.Info or ChannelMessageKind.Warning)
            _said.Add(log.RawMessage);
    };

    private string Zip => Path.Combine(_folder.Path, "model.zip");

    private IDataView Data => _context.Data.LoadFromEnumerable(_rows);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("Prompt", "Reference")]
    [InlineData("PromptIds", "ReferenceIds")]
    [InlineData("Prompt", "ReferenceIds")]
    public void Columns_hold_the_scores_layer_after_layer(string input, string target)
    {
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(Options(input, target)).Fit(Data);
        IDataView output = transformer.Transform(Data);
        ScoredRow[] scored = Read(output);
        AssertEqual(Expected(_rows), scored);
        Assert.Equal(_rows.Select(row => row.Prompt), output.GetColumn<string>("Prompt"));
        Assert.Equal(
            ["ArgMax", "Ranks", "Confidences", "LogProbabilities", "Ids"],
            output.Schema.Skip(Data.Schema.Count).Select(column => column.Name));

        // All columns of a row cost one run of the model.
        int tokens = _rows.Sum(row => row.ReferenceIds.Length);
        Assert.Matches(
            $@"^Done: 5 of 5 rows, {tokens} tokens in \d+\.\d s\.$",
            Assert.Single(_said, message => message.StartsWith("Done: ", StringComparison.Ordinal)));
    }

    [Fact]
    public void The_short_form_gives_what_every_layer_would_have_said()
    {
        using LayerScoringTransformer transformer = _context.Transforms.Text
            .ScoreLayers("ArgMax", "Prompt", "Reference", TestModels.Bundle(TestModels.Demo)).Fit(Data);
        Assert.Equal(Expected(_rows).Select(row => row.ArgMax), transformer.Transform(Data).GetColumn<int[]>("ArgMax"));
    }

    [Fact]
    public void What_was_generated_can_be_scored_and_is_the_last_layer_s_choice()
    {
        var pipeline = _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            TokenIdsColumnName = "Generated",
            InputColumnName = "Prompt",
            Model = _model,
        }).Append(_context.Transforms.Text.ScoreLayers(Options("Prompt", "Generated")));
        using TransformerChain<LayerScoringTransformer> chain = pipeline.Fit(Data);
        IDataView output = chain.Transform(Data);
        foreach ((int[] generated, int[] argMax) in output.GetColumn<int[]>("Generated").Zip(output.GetColumn<int[]>("ArgMax")))
            Assert.Equal(generated, argMax[^generated.Length..]);
    }

    [Fact]
    public void Reading_other_columns_never_runs_the_model()
    {
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Demo));
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(Options(model)).Fit(Data);
        IDataView output = transformer.Transform(Data);
        model.Dispose();

        Assert.Equal(_rows.Select(row => row.Prompt), output.GetColumn<string>("Prompt"));
        using (DataViewRowCursor cursor = output.GetRowCursor(output.Schema))
        {
            ValueGetter<VBuffer<int>> getArgMax = cursor.GetGetter<VBuffer<int>>(output.Schema["ArgMax"]);
            for (int row = 0; row < _rows.Length; row++)
                Assert.True(cursor.MoveNext());
            VBuffer<int> argMax = default;
            Assert.Throws<ObjectDisposedException>(() => getArgMax(ref argMax));
            Assert.Throws<InvalidOperationException>(() => cursor.GetGetter<float>(output.Schema["ArgMax"]));
        }

        Assert.DoesNotContain(_said, message => message.StartsWith("Done: ", StringComparison.Ordinal));
    }

    [Fact]
    public void A_prediction_engine_scores_row_by_row_and_lets_the_model_go()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(Options(null)).Fit(Data);
        using (var engine = _context.Model.CreatePredictionEngine<TrainingRow, ScoredRow>(transformer))
            AssertEqual(Expected(_rows), [.. _rows.Select(row => engine.Predict(row))]);
        Assert.Throws<ObjectDisposedException>(() => Read(transformer.Transform(Data)));
        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Fact]
    public void Several_threads_read_the_same_scores()
    {
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(Options(_model)).Fit(Data);
        ScoredRow[] expected = Expected(_rows);
        Parallel.For(0, 4, _ => AssertEqual(expected, Read(transformer.Transform(Data))));
    }

    [Fact]
    public void A_row_that_cannot_be_scored_is_named_and_does_not_disturb_the_others()
    {
        _rows[1].ReferenceIds = [];
        _rows[2].ReferenceIds = [5, 100_000, 1];
        _rows[3].ReferenceIds = [.. Enumerable.Repeat(5, 101)];
        _rows[4].PromptIds = [-1];
        LayerScoringEstimator.Options options = Options(_model, "PromptIds", "ReferenceIds", s_options with { MaxNewTokens = 100 });
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(options).Fit(Data);
        IDataView output = transformer.Transform(Data);
        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        ValueGetter<VBuffer<int>> getIds = cursor.GetGetter<VBuffer<int>>(output.Schema["Ids"]);
        ValueGetter<VBuffer<float>> getConfidences = cursor.GetGetter<VBuffer<float>>(output.Schema["Confidences"]);
        VBuffer<int> ids = default;
        VBuffer<float> confidences = default;
        Assert.True(cursor.MoveNext());
        getConfidences(ref confidences);
        Assert.Equal(12 * _rows[0].ReferenceIds.Length, confidences.Length);
        foreach (string error in (string[])
        [
            "Row 1, counted from 0, could not be scored: The target has no token ids; give at least the end-of-sequence id.",
            "Row 2, counted from 0, could not be scored: Token id 100000 at position 1 of the target is outside the vocabulary, which has ids 0 to 32127.",
            "Row 3, counted from 0, could not be scored: The target has 101 tokens, more than MaxNewTokens, which is 100. Shorten it, or raise MaxNewTokens.",
            "Row 4, counted from 0, could not be scored: Token id -1 at position 0 is outside the vocabulary, which has ids 0 to 32127.",
        ])
        {
            Assert.True(cursor.MoveNext());
            Assert.Equal(error, Assert.Throws<InvalidOperationException>(() => getIds(ref ids)).Message);
            Assert.Equal(error, Assert.Throws<InvalidOperationException>(() => getConfidences(ref confidences)).Message);
        }
    }

    [Fact]
    public void A_row_of_which_the_model_makes_no_number_says_so()
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor("decoder.2.self.kv", 10, 1, float.NaN);
        IDataView data = _context.Data.LoadFromEnumerable([new IdsRow { Ids = [5, 1], Target = [6, 1] }]);
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers("ArgMax", "Ids", "Target", tampered.Folder).Fit(data);
        Assert.StartsWith(
            "Row 0, counted from 0, could not be scored: After decoder layer 3 a hidden state of its target holds a NaN",
            Assert.Throws<InvalidOperationException>(() => transformer.Transform(data).GetColumn<int[]>("ArgMax").Count()).Message);
    }

    [Fact]
    public void A_cut_input_is_a_warning_that_names_the_row()
    {
        LayerScoringEstimator.Options options = Options(_model, generation: s_options with { MaxInputTokens = _rows.Max(row => row.PromptIds.Length) - 1 });
        using LayerScoringTransformer transformer = _context.Transforms.Text.ScoreLayers(options).Fit(Data);
        Assert.Equal(5, Read(transformer.Transform(Data)).Length);
        int row = Array.FindIndex(_rows, candidate => candidate.PromptIds.Length > options.GenerationOptions!.MaxInputTokens);
        Assert.Contains(_said, message => message.StartsWith($"Row {row}: the input exceeds MaxInputTokens", StringComparison.Ordinal));
    }

    [Fact]
    public void Schemas_without_input_or_target_are_refused()
    {
        Assert.Contains("Could not find input column 'Absent'", Refusal("Absent", "Reference"), StringComparison.Ordinal);
        Assert.Contains("Could not find target column 'Absent'", Refusal("Prompt", "Absent"), StringComparison.Ordinal);
        IDataView numbers = _context.Data.LoadFromEnumerable(DemoRow.Create(1));
        Assert.Contains(
            "Schema mismatch for target column 'Number': expected String, or a vector of Int32 (token ids), got Int32",
            Assert.Throws<ArgumentOutOfRangeException>(() => _context.Transforms.Text.ScoreLayers(Options("Prompt", "Number")).Fit(numbers)).Message);

        EarlyExitModel untokenized = TestModels.Model("tiny-v11");
        Assert.Contains(
            "has no tokenizer, so it cannot read the text in target column 'Reference'",
            Assert.Throws<InvalidModelException>(() => _context.Transforms.Text.ScoreLayers(Options(untokenized, "PromptIds")).Fit(Data)).Message);

        var shape = new SchemaShape([
            MLNetInterop.CreateColumn("Prompt", SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance),
            MLNetInterop.CreateColumn("Target", SchemaShape.Column.VectorKind.VariableVector, NumberDataViewType.Int32),
        ]);
        SchemaShape output = _context.Transforms.Text.ScoreLayers(Options("Prompt", "Target")).GetOutputSchema(shape);
        Assert.Equal(["Prompt", "Target", "ArgMax", "Ranks", "Confidences", "LogProbabilities", "Ids"], output.Select(column => column.Name));
        Assert.All(output.Skip(1), column => Assert.Equal(SchemaShape.Column.VectorKind.VariableVector, column.Kind));

        string Refusal(string input, string target) =>
            Assert.Throws<ArgumentOutOfRangeException>(() => _context.Transforms.Text.ScoreLayers(Options(input, target)).Fit(Data)).Message;
    }

    [Fact]
    public void Options_that_cannot_be_are_refused_where_they_are_given()
    {
        TransformsCatalog.TextTransforms catalog = _context.Transforms.Text;
        Refused("argMaxColumnName", new() { InputColumnName = "Prompt", TargetColumnName = "Reference", Model = _model });
        Refused(
            "two columns", new() { InputColumnName = "Prompt", TargetColumnName = "Reference", Model = _model, ArgMaxColumnName = "A", RanksColumnName = "A" });
        Refused("inputColumnName", new() { InputColumnName = " ", TargetColumnName = "Reference", Model = _model, ArgMaxColumnName = "A" });
        Refused("targetColumnName", new() { InputColumnName = "Prompt", TargetColumnName = "", Model = _model, ArgMaxColumnName = "A" });
        Refused("ModelPath", new() { InputColumnName = "Prompt", TargetColumnName = "Reference", ArgMaxColumnName = "A" });
        Refused("ModelPath", new() { InputColumnName = "Prompt", TargetColumnName = "Reference", ArgMaxColumnName = "A", Model = _model, ModelPath = "t5" });
        Refused(
            "ModelOptions", new() { InputColumnName = "Prompt", TargetColumnName = "Reference", ArgMaxColumnName = "A", Model = _model, ModelOptions = new() });
        LayerScoringEstimator tooDeep = catalog.ScoreLayers(Options(_model, generation: new() { Exit = new ExitPolicy { MinimumLayer = 13 } }));
        Assert.Contains(
            "MinimumLayer is 13, but the model has 12 decoder layers; it must be from 1 to 12",
            Assert.Throws<ArgumentException>(() => tooDeep.Fit(Data)).Message);

        void Refused(string said, LayerScoringEstimator.Options options) =>
            Assert.Contains(said, Assert.ThrowsAny<ArgumentException>(() => catalog.ScoreLayers(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_saved_scoring_says_the_same_in_another_process()
    {
        using (LayerScoringTransformer saved = _context.Transforms.Text
            .ScoreLayers(Options(null, generation: s_options with { Prefix = "a ", MaxNewTokens = 77 })).Fit(Data))
        {
            _context.Model.Save(saved, Data.Schema, Zip);
            ScoredRow[] expected = Read(saved.Transform(Data));
            using var loaded = (LayerScoringTransformer)new MLContext().Model.Load(Zip, out _);
            Assert.Equal(saved.GenerationOptions, loaded.GenerationOptions);
            Assert.Same(saved.Model, loaded.Model);
            AssertEqual(expected, Read(loaded.Transform(Data)));

            string again = Path.Combine(_folder.Path, "again.zip");
            _context.Model.Save(loaded, Data.Schema, again);
            Assert.Equal(new FileInfo(Zip).Length, new FileInfo(again).Length);

            string[] lines = await RunProcess(again, _rows.SelectMany(row => (string[])[row.Prompt!, row.Reference!]));
            Assert.Equal(expected.Select(row => $"ArgMax {string.Join(' ', row.ArgMax)}"), lines[..5]);
            Assert.Equal(expected.Select(row => $"Ranks {string.Join(' ', row.Ranks)}"), lines[5..10]);
        }

        // Nobody else has the model now.
        using var alone = (LayerScoringTransformer)new MLContext().Model.Load(Zip, out _);
        Assert.Equal(5, Read(alone.Transform(Data)).Length);
    }

    [Fact]
    public void A_pipeline_that_generates_and_scores_is_saved_with_one_bundle_and_loaded_with_one_model()
    {
        string bundle = TestModels.Bundle(TestModels.Demo);
        var pipeline = _context.Transforms.Text.GenerateText("Text", "Prompt", bundle)
            .Append(_context.Transforms.Text.ScoreLayers("ArgMax", "Prompt", "Text", bundle));
        int[][] expected;
        using (TransformerChain<LayerScoringTransformer> saved = pipeline.Fit(Data))
        {
            expected = [.. saved.Transform(Data).GetColumn<int[]>("ArgMax")];
            _context.Model.Save(saved, Data.Schema, Zip);
        }

        using (ZipArchive archive = ZipFile.OpenRead(Zip))
            Assert.Single(archive.Entries, entry => entry.Name == "weights.bin");
        ITransformer loaded = _context.Model.Load(Zip, out _);
        ITransformer[] parts = [.. (IEnumerable<ITransformer>)loaded];
        Assert.Same(Assert.IsType<TextGenerationTransformer>(parts[0]).Model, Assert.IsType<LayerScoringTransformer>(parts[1]).Model);
        Assert.Equal(expected, loaded.Transform(Data).GetColumn<int[]>("ArgMax"));
        ((IDisposable)loaded).Dispose();
    }

    [Fact]
    public void By_reference_only_the_path_is_saved()
    {
        LayerScoringEstimator.Options options = new()
        {
            InputColumnName = "Prompt",
            TargetColumnName = "Reference",
            RanksColumnName = "Ranks",
            ModelPath = TestModels.Bundle(TestModels.Demo),
            SaveByReference = true,
        };
        using LayerScoringTransformer saved = _context.Transforms.Text.ScoreLayers(options).Fit(Data);
        _context.Model.Save(saved, Data.Schema, Zip);
        Assert.InRange(new FileInfo(Zip).Length, 1, 20_000);
        using var loaded = (LayerScoringTransformer)_context.Model.Load(Zip, out _);
        Assert.Equal(saved.Transform(Data).GetColumn<int[]>("Ranks"), loaded.Transform(Data).GetColumn<int[]>("Ranks"));
        Assert.InRange(LayerScoringTransformer.LoaderSignature.Length, 1, 24);
    }

    private static LayerScoringEstimator.Options Options(string input, string target) => Options(TestModels.Model(TestModels.Demo), input, target);

    /// <summary>All columns, of a loaded model or of the demo's bundle.</summary>
    private static LayerScoringEstimator.Options Options(
        EarlyExitModel? model, string input = "Prompt", string target = "Reference", TextGenerationOptions? generation = null) => new()
        {
            InputColumnName = input,
            TargetColumnName = target,
            Model = model,
            ModelPath = model is null ? TestModels.Bundle(TestModels.Demo) : null,
            GenerationOptions = generation ?? s_options,
            ArgMaxColumnName = "ArgMax",
            RanksColumnName = "Ranks",
            ConfidencesColumnName = "Confidences",
            LogProbabilitiesColumnName = "LogProbabilities",
            TargetIdsColumnName = "Ids",
        };

    private ScoredRow[] Expected(TrainingRow[] rows)
    {
        using var scorer = new LayerScorer(_model, s_options.Exit);
        return
        [
            .. rows.Select(row =>
            {
                IReadOnlyList<LayerScore> scores = scorer.Score(row.PromptIds, row.ReferenceIds);
                return new ScoredRow
                {
                    ArgMax = [.. scores.SelectMany(score => score.ArgMax)],
                    Ranks = [.. scores.SelectMany(score => score.Rank)],
                    Confidences = [.. scores.SelectMany(score => score.Confidence)],
                    LogProbabilities = [.. scores.SelectMany(score => score.LogProbability)],
                    Ids = row.ReferenceIds,
                };
            }),
        ];
    }

    private static ScoredRow[] Read(IDataView data)
    {
        var context = new MLContext();
        return [.. context.Data.CreateEnumerable<ScoredRow>(data, reuseRowObject: false)];
    }

    private static void AssertEqual(ScoredRow[] expected, ScoredRow[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        foreach ((ScoredRow one, ScoredRow other) in expected.Zip(actual))
        {
            Assert.Equal(one.ArgMax, other.ArgMax);
            Assert.Equal(one.Ranks, other.Ranks);
            Assert.Equal(one.Confidences, other.Confidences);
            Assert.Equal(one.LogProbabilities, other.LogProbabilities);
            Assert.Equal(one.Ids, other.Ids);
        }
    }

    private static async Task<string[]> RunProcess(string zip, IEnumerable<string> rows)
    {
        // The same configuration as this test's: …/bin/Release/net10.0.
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;
        string program = Path.Combine(Repository.Folder, "test", "SavingProcess", "bin", configuration, "net10.0", "SavingProcess.dll");
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [program, zip, .. rows]) { RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        return output.ReplaceLineEndings("\n").Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
