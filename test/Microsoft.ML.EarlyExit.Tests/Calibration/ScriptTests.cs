using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Guarantees for texts in any script.</summary>
public sealed class ScriptTests(ScriptTests.Transliterated transliterated) : IClassFixture<ScriptTests.Transliterated>, IDisposable
{
    private static readonly ExitPolicy s_policy = new() { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying() };
    private static readonly CalibrationLoss s_unicode = CalibrationLoss.RougeL.WithRougeTokenizer(RougeTokenizer.Unicode);

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly MLContext _context = new(seed: 1);

    /// <summary>The model, made once for all tests.</summary>
    public sealed class Transliterated : IDisposable
    {
        private readonly TransliteratedDemo _demo = new();

        public EarlyExitModel Model => _demo.Model;

        public void Dispose() => _demo.Dispose();
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Another_alphabet_gets_the_same_tokens_losses_p_values_and_thresholds()
    {
        CalibrationRow[] latin = CalibrationRow.Read("describe", 24);
        CalibrationRow[] armenian = InArmenian(latin);
        var generation = new TextGenerationOptions { MaxNewTokens = 12, BatchSize = 8, Exit = s_policy with { Threshold = 0.8f } };
        IReadOnlyList<GenerationResult> one =
            TestModels.Model(TestModels.Demo).Generate([.. latin.Select(row => GenerationInput.FromText(row.Prompt!))], generation);
        IReadOnlyList<GenerationResult> other = transliterated.Model.Generate([.. armenian.Select(row => GenerationInput.FromText(row.Prompt!))], generation);
        Assert.Equal(one.Select(result => result.TokenIds), other.Select(result => result.TokenIds));
        Assert.Equal(one.Select(result => Armenian.Of(result.Text!)), other.Select(result => result.Text));

        foreach (CalibrationLoss loss in (CalibrationLoss[])[
            s_unicode, CalibrationLoss.RougeLRisk.WithRougeTokenizer(RougeTokenizer.Unicode), CalibrationLoss.Chrf, CalibrationLoss.ChrfRisk])
        {
            CalibrationCertificate first = Calibrate(TestModels.Model(TestModels.Demo), latin, loss);
            CalibrationCertificate second = Calibrate(transliterated.Model, armenian, loss);

            Assert.Equal(first.Candidates, second.Candidates);
            Assert.Contains(first.Candidates, candidate => candidate.MeanLoss > 0);
            Assert.Equal((first.Lambda, first.Policy, first.Statement), (second.Lambda, second.Policy, second.Statement));
        }
    }

    [Fact]
    public void Figures_of_another_alphabet_are_the_same()
    {
        CalibrationRow[] rows = CalibrationRow.Read("describe", 12);
        string[] texts =
            [.. TestModels.Model(TestModels.Demo)
                .Generate([.. rows.Select(row => GenerationInput.FromText(row.Prompt!))], new TextGenerationOptions { MaxNewTokens = 40, BatchSize = 8 })
                .Select(result => result.Text!)];
        foreach (bool splitSentences in (bool[])[false, true])
        {
            var scorer = new RougeScorer(tokenizer: RougeTokenizer.Unicode, splitSentences: splitSentences);
            Assert.Equal(
                rows.Zip(texts, (row, text) => scorer.Score(text, row.References)),
                rows.Zip(texts, (row, text) => scorer.Score(Armenian.Of(text), [.. row.References.Select(Armenian.Of)])));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_loss_that_does_not_see_its_texts_certifies_nothing_and_names_both_ways_out(bool isRisk)
    {
        string checkpoint = Path.Combine(_folder.Path, "certificate.partial");
        CalibrationRow[] rows = InArmenian(CalibrationRow.Read("question", 12));
        CalibrationLoss loss = isRisk ? CalibrationLoss.RougeLRisk : CalibrationLoss.RougeL;

        string message = Assert.Throws<InvalidOperationException>(() => Calibrate(transliterated.Model, rows, loss, checkpoint)).Message;

        Assert.StartsWith("ROUGE's tokenizer, which knows the letters a to z only, drops ", message);
        Assert.Contains(isRisk ? " of the references, so the loss rougeLRisk " : " of the full model's texts, so the loss rougeL ", message);
        Assert.Contains("--rouge-tokenizer unicode", message);
        Assert.Contains("WithRougeTokenizer(RougeTokenizer.Unicode)", message);
        Assert.Contains(isRisk ? "or the loss chrfRisk" : "or the loss chrf,", message);

        // The way out works with the same checkpoint.
        Assert.Equal(
            "unicode",
            System.Text.Json.JsonDocument.Parse(Calibrate(transliterated.Model, rows, loss.WithRougeTokenizer(RougeTokenizer.Unicode), checkpoint).ToJson())
                .RootElement.GetProperty("rougeTokenizer").GetString());
    }

    [Fact]
    public void Words_belong_to_the_certificate_and_to_what_is_tested_and_resumed_with_it()
    {
        CalibrationRow[] rows = InArmenian(CalibrationRow.Read("question", 24));
        IDataView data = _context.Data.LoadFromEnumerable(rows);
        using TextGenerationTransformer transformer = _context.TextGeneration.CalibrateExit(Options(transliterated.Model, s_unicode))
            .Fit(_context.Data.TakeRows(data, 12));
        CalibrationCertificate certificate = transformer.Certificate!;
        Assert.Equal(("rougeL", RougeTokenizer.Unicode), (certificate.Loss, certificate.RougeTokenizer!.Value));
        Assert.Contains("the expected rougeL (Unicode words) loss", certificate.Statement);
        string path = Path.Combine(_folder.Path, "certificate.json");
        certificate.Save(path);
        Assert.Equal(certificate.ToJson(), CalibrationCertificate.Load(path).ToJson());

        // Its own words by default, and no others.
        RiskMonitorState state = _context.TextGeneration.EvaluateDrift(transformer, data);
        Assert.Equal(state, _context.TextGeneration.EvaluateDrift(transformer, data, loss: s_unicode));
        Assert.Contains(
            "with the words of Unicode, not of Rouge",
            Assert.Throws<ArgumentException>("loss", () => _context.TextGeneration.EvaluateDrift(transformer, data, loss: CalibrationLoss.RougeL)).Message);

        // Losses of other words are no losses to go on with.
        string checkpoint = Path.Combine(_folder.Path, "latin.partial");
        CalibrationRow[] latin = CalibrationRow.Read("question", 12);
        using var cancellation = new CancellationTokenSource();
        int runs = 0;
        Assert.ThrowsAny<OperationCanceledException>(() => Run(CalibrationLoss.RougeL, progress =>
        {
            if (progress.FinishedRuns > runs && ++runs == 2)
                cancellation.Cancel();
        }));
        Assert.Contains("is of another calibration", Assert.Throws<InvalidDataException>(() => Run(s_unicode, _ => { })).Message);

        void Run(CalibrationLoss loss, Action<CalibrationProgress> progress)
        {
            EarlyExitModel model = TestModels.Model(TestModels.Demo);
            ExitCalibrationEstimator.Options options = Options(model, loss, checkpoint);
            TextGenerationOptions generation = options.Generation.GenerationOptions!;
            CalibrationPrompt[] prompts =
                [.. latin.Select((row, index) => new CalibrationPrompt(index, model.Prepare(GenerationInput.FromText(row.Prompt!), generation), []))];
            using var calibration = new ExitCalibration(model, options, generation, prompts, progress, cancellation.Token);
            calibration.Run();
        }
    }

    [Fact]
    public void Drift_in_texts_that_the_loss_does_not_see_is_warned_of()
    {
        List<string> warnings = [];
        _context.Log += (_, log) =>
        {
            if (log.Kind == ChannelMessageKind.Warning)
                warnings.Add(log.RawMessage);
        };
        CalibrationRow[] rows = CalibrationRow.Read("question", 12);
        using TextGenerationTransformer transformer = _context.TextGeneration
            .CalibrateExit(Options(TestModels.Model(TestModels.Demo), CalibrationLoss.RougeLRisk))
            .Fit(_context.Data.LoadFromEnumerable(rows));
        _context.TextGeneration.EvaluateDrift(transformer, _context.Data.LoadFromEnumerable(rows), labelColumnName: "References");
        Assert.DoesNotContain(warnings, warning => warning.Contains("tokenizer"));

        _context.TextGeneration.EvaluateDrift(transformer, _context.Data.LoadFromEnumerable(InArmenian(rows)), labelColumnName: "References");

        Assert.Contains(warnings, warning => warning.Contains("of these prompts' texts: the loss rougeLRisk, which the certificate is for, does not see them"));
    }

    private static CalibrationRow[] InArmenian(CalibrationRow[] rows) =>
        [.. rows.Select(row => new CalibrationRow { Prompt = Armenian.Of(row.Prompt!), References = [.. row.References.Select(Armenian.Of)] })];

    private static ExitCalibrationEstimator.Options Options(EarlyExitModel model, CalibrationLoss loss, string? checkpoint = null) => new()
    {
        Generation = new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text", InputColumnName = "Prompt", Model = model,
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 8, BatchSize = 4 },
        },
        Policies = [s_policy],
        Delta = 0.4,
        Epsilon = 0.3,
        Loss = loss,
        Grid = [1, 0.9f, 0.6f, 0.2f],
        LabelColumnName = loss.NeedsReferences ? "References" : null,
        CheckpointPath = checkpoint,
    };

    private CalibrationCertificate Calibrate(EarlyExitModel model, CalibrationRow[] rows, CalibrationLoss loss, string? checkpoint = null)
    {
        using TextGenerationTransformer transformer = _context.TextGeneration.CalibrateExit(Options(model, loss, checkpoint))
            .Fit(_context.Data.LoadFromEnumerable(rows));
        return transformer.Certificate!;
    }
}
