using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ExitCalibrationTests : IDisposable
{
    private static readonly ExitPolicy s_policy = new() { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying() };

    private static readonly ExitPolicy s_saturation = new() { MinimumLayer = 2, Confidence = Confidence.HiddenStateSaturation };
    private static readonly float[] s_grid = [1, 0.97f, 0.9f, 0.5f];

    /// <summary>Each prompt's loss and operations at every threshold of the grid.</summary>
    private static readonly Lazy<(CalibrationRow[] Rows, double[][] Losses, double[][] Operations)> s_measured = new(() =>
    {
        CalibrationRow[] rows = CalibrationRow.Read("describe", 40);
        IReadOnlyList<GenerationResult> full = Generate(rows, null);
        IReadOnlyList<GenerationResult>[] early = Array.ConvertAll(s_grid, threshold => Generate(rows, s_saturation with { Threshold = threshold }));
        return (
            rows,
            Array.ConvertAll(early, results => results.Zip(full, Loss).ToArray()),
            Array.ConvertAll(early, results => results.Select(result => (double)result.Operations.Total).ToArray()));

        static double Loss(GenerationResult early, GenerationResult full) =>
            CalibrationLoss.RougeL.Compute(new CalibrationOutcome(early.Text!, full.Text!, []));
    });

    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly List<string> _warnings = [];

    public ExitCalibrationTests() => _context.Log += (_, log) =>
    {
        if (log.Kind == ChannelMessageKind.Warning)
            _warnings.Add(log.RawMessage);
    };

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_lowest_threshold_that_passes_is_used_and_certified()
    {
        CalibrationRow[] rows = CalibrationRow.Read("describe", 30);
        ExitCalibrationEstimator.Options options = Options(delta: 0.3, epsilon: 0.2);

        using TextGenerationTransformer transformer = Fit(rows, options);

        CalibrationCertificate certificate = transformer.Certificate!;
        Assert.Equal((30, 0.3, 0.2, "rougeL"), (certificate.PromptCount, certificate.Delta, certificate.Epsilon, certificate.Loss));
        Assert.Equal(transformer.Model.Bundle.Identity, certificate.ModelSha256);
        Assert.Equal(options.Grid.Take(certificate.Candidates.Count), certificate.Candidates.Select(candidate => candidate.Lambda));
        Assert.All(certificate.Candidates.SkipLast(1), candidate => Assert.True(candidate.Passed));
        Assert.Equal((1f, 0.0), (certificate.Candidates[0].Lambda, certificate.Candidates[0].MeanLoss));
        CalibrationCandidate chosen = certificate.Candidates.Where(candidate => candidate.Passed).MinBy(candidate => candidate.MeanExitLayer)!;
        Assert.Equal((chosen.Lambda, 0), (certificate.Lambda, certificate.PolicyIndex));
        Assert.Equal(s_policy with { Threshold = chosen.Lambda }, certificate.Policy);
        Assert.Equal(certificate.Policy, transformer.GenerationOptions.Exit);
        Assert.True(chosen.MeanExitLayer < 11);

        // Each candidate's figures are those of generating with it.
        foreach (CalibrationCandidate candidate in certificate.Candidates)
        {
            GenerationResult[] early = [.. Generate(rows, s_policy with { Threshold = candidate.Lambda })];
            double[] losses =
                [.. early.Zip(Generate(rows, null), (one, full) => CalibrationLoss.RougeL.Compute(new CalibrationOutcome(one.Text!, full.Text!, [])))];
            Assert.Equal(losses.Average(), candidate.MeanLoss, 1e-12);
            Assert.Equal(RiskTest.HoeffdingBentkus.PValue(losses, 0.3, 0.2), candidate.PValue, 1e-12);
            Assert.Equal(early.SelectMany(result => result.ExitLayers).Average(), candidate.MeanExitLayer, 1e-12);
            Assert.Equal(early.Average(result => (double)result.Operations.Total), candidate.Operations.Total, 1);
        }

        IEnumerable<string> texts = transformer.Transform(Load(rows)).GetColumn<string>("Text");
        Assert.Equal(Generate(rows, certificate.Policy).Select(result => result.Text), texts);
    }

    [Fact]
    public void A_certificate_returns_from_its_file_and_with_its_model()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 20);
        IDataView data = Load(rows);
        using TextGenerationTransformer transformer = _context.TextGeneration.CalibrateExit(
            "Text", "Prompt", TestModels.Bundle(TestModels.Demo), s_policy, delta: 0.3, epsilon: 0.2, new TextGenerationOptions { MaxNewTokens = 8 }).Fit(data);
        CalibrationCertificate certificate = transformer.Certificate!;

        certificate.Save(Path.Combine(_folder.Path, "certificate.json"));
        _context.Model.Save(transformer, data.Schema, Path.Combine(_folder.Path, "model.zip"));

        Assert.Equal(certificate.ToJson(), CalibrationCertificate.Load(Path.Combine(_folder.Path, "certificate.json")).ToJson());
        using var loaded = (TextGenerationTransformer)_context.Model.Load(Path.Combine(_folder.Path, "model.zip"), out _);
        Assert.Equal(certificate.ToJson(), loaded.Certificate!.ToJson());
        Assert.Equal(certificate.Policy, loaded.GenerationOptions.Exit);
        Assert.StartsWith(certificate.Statement, certificate.ToString());
        Assert.Contains("chosen", certificate.ToString());
        Assert.Contains("With probability at least 0.8 over the draw of the 20 calibration prompts, the expected rougeL loss", certificate.Statement);
    }

    [Fact]
    public void Where_nothing_passes_no_token_leaves_early_and_the_log_says_why()
    {
        // A loss that even the full model has.
        ExitCalibrationEstimator.Options options = Options(
            delta: 0.3, epsilon: 0.2, loss: CalibrationLoss.Custom("always", _ => 0.9), grid: [1, 0.5f]);

        using TextGenerationTransformer transformer = Fit(CalibrationRow.Read("question", 15), options);

        Assert.Equal((null, null, null), (transformer.Certificate!.Policy, transformer.Certificate!.Lambda, transformer.GenerationOptions.Exit));
        CalibrationCandidate candidate = transformer.Certificate!.Candidates.Single();
        Assert.Equal((1f, false), (candidate.Lambda, candidate.Passed));
        Assert.Equal(0.9, candidate.MeanLoss, 1e-12);
        Assert.StartsWith("Nothing is certified, so no token may exit early", transformer.Certificate!.Statement);
        Assert.Contains(transformer.Certificate!.Statement, _warnings);
    }

    [Fact]
    public void Too_few_prompts_are_refused_before_anything_runs_with_the_number_that_is_needed()
    {
        int computed = 0;
        ExitCalibrationEstimator.Options options = Options(delta: 0.05, epsilon: 0.05, loss: CalibrationLoss.Custom("counted", _ => computed++));

        string message = Refused<InvalidOperationException>(() => Fit(CalibrationRow.Read("question", 58), options));

        Assert.StartsWith("58 prompts can never certify δ = 0.05 at ε = 0.05, whatever is generated: even without any loss at least 59 are needed.", message);
        Assert.Equal(0, computed);
        Assert.Contains(
            "at least 72",
            Refused<InvalidOperationException>(() => Fit(CalibrationRow.Read("question", 10), Options(0.05, 0.05, policies: [s_policy, s_policy]))));
        Assert.Contains("the data is empty", Refused<InvalidOperationException>(() => Fit([], Options(0.3, 0.2))));
        Assert.Contains("one says nothing about others", Refused<InvalidOperationException>(() => Fit(CalibrationRow.Read("question", 1), Options(0.3, 0.2))));
    }

    [Fact]
    public void Repeated_prompts_are_warned_of()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 10);

        using TextGenerationTransformer transformer = Fit([.. rows, .. rows[..3]], Options(0.3, 0.2, grid: [1]));

        Assert.Contains(_warnings, warning => warning.StartsWith("3 of 13 prompts are repetitions of others.", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(-0.001)]
    [InlineData(1.001)]
    public void A_loss_outside_its_range_names_the_row(double loss)
    {
        int calls = 0;
        ExitCalibrationEstimator.Options options = Options(0.3, 0.2, loss: CalibrationLoss.Custom("odd", _ => calls++ == 4 ? loss : 0), grid: [1]);

        Assert.Contains(
            "The loss odd of row 4, counted from 0, is", Refused<InvalidOperationException>(() => Fit(CalibrationRow.Read("question", 10), options)));
    }

    [Fact]
    public void The_binomial_test_refuses_other_losses_than_0_and_1_and_takes_exact_match()
    {
        CalibrationRow[] rows = CalibrationRow.Read("describe", 12);
        Refused<ArgumentException>(() => Fit(rows, Options(0.4, 0.3, loss: CalibrationLoss.Custom("half", _ => 0.5), test: RiskTest.Binomial)));

        using TextGenerationTransformer transformer = Fit(
            CalibrationRow.Read("question", 15), Options(0.3, 0.2, loss: CalibrationLoss.ExactMatch, test: RiskTest.Binomial, grid: [1, 0.9f]));

        Assert.Equal((RiskTest.Binomial, "exactMatch"), (transformer.Certificate!.Test, transformer.Certificate!.Loss));
    }

    [Fact]
    public void Losses_of_risk_read_references_and_forgive_texts_that_are_no_worse()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 15);
        ExitCalibrationEstimator.Options options = Options(0.3, 0.2, loss: CalibrationLoss.TokenF1Risk, grid: [1, 0.3f, 0.1f], label: "References");

        using TextGenerationTransformer transformer = Fit(rows, options);

        CalibrationCandidate last = transformer.Certificate!.Candidates[^1];
        double[] losses =
        [
            .. Generate(rows, s_policy with { Threshold = last.Lambda }).Zip(Generate(rows, null), rows).Select(pair => Math.Max(
                0, SquadScorer.Score(pair.Second.Text!, pair.Third.References).F1 - SquadScorer.Score(pair.First.Text!, pair.Third.References).F1)),
        ];
        Assert.Equal(losses.Average(), last.MeanLoss, 1e-12);
        Assert.Contains("LabelColumnName", Refused<ArgumentException>(() => Fit(rows, Options(0.3, 0.2, loss: CalibrationLoss.RougeLRisk))));
        rows[3].References = [];
        Assert.Contains("Row 3, counted from 0, has no reference in column 'References'", Refused<InvalidOperationException>(() => Fit(rows, options)));
    }

    /// <summary>Where the full model scores nothing, nothing can be lost, whatever a policy generates.</summary>
    [Fact]
    public void A_certificate_says_where_no_text_could_have_failed()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 20);
        using TextGenerationTransformer sound = Fit(rows, Options(0.2, 0.3, loss: CalibrationLoss.TokenF1Risk, label: "References"));
        Assert.DoesNotContain("any text at all would pass", sound.Certificate!.Statement);
        foreach (CalibrationRow row in rows)
            row.References = [""];

        foreach (CalibrationLoss loss in CalibrationLoss.All.Where(loss => loss.NeedsReferences))
        {
            using TextGenerationTransformer transformer = Fit(rows, Options(0.2, 0.3, loss: loss, label: "References"));

            Assert.Equal(0.05f, transformer.Certificate!.Lambda);
            Assert.EndsWith(
                " But the full model's own texts score 0 on average, not more than δ, and none can lose more than that: "
                + "any text at all would pass, and this says nothing of the policy. "
                + "Look at the references, or take a smaller δ.",
                transformer.Certificate!.Statement);
            Assert.Contains(transformer.Certificate!.Statement, _warnings);
        }
    }

    [Fact]
    public void Texts_that_are_the_same_lose_nothing_even_without_a_word()
    {
        foreach (CalibrationLoss loss in CalibrationLoss.All)
            Assert.Equal(0, loss.Compute(new CalibrationOutcome("…", "…", ["x"])));
        Assert.Equal(1, CalibrationLoss.TokenF1.Compute(new CalibrationOutcome("a", "b", [])));
        Assert.Equal(0, CalibrationLoss.ExactMatch.Compute(new CalibrationOutcome("The Eagle!", "eagle", [])));
        Assert.Equal(0.5, CalibrationLoss.RougeL.Compute(new CalibrationOutcome("a b", "b c", [])), 1e-12);
        Assert.Equal(0, CalibrationLoss.RougeLRisk.Compute(new CalibrationOutcome("a b", "x", ["a b"])));
        Assert.Equal(0, CalibrationLoss.ExactMatchRisk.Compute(new CalibrationOutcome("x", "y", ["b", "c"])));
        Assert.Equal(1, CalibrationLoss.ExactMatchRisk.Compute(new CalibrationOutcome("x", "the c", ["b", "c"])));
    }

    [Fact]
    public void Of_several_policies_the_one_that_exits_earliest_wins_each_tested_at_its_share()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 20);
        ExitPolicy late = new() { MinimumLayer = 11, Pruning = VocabularyPruning.Decaying() };

        using TextGenerationTransformer transformer = Fit(rows, Options(0.3, 0.2, policies: [late, s_policy], grid: [1, 0.9f, 0.5f]));

        CalibrationCertificate certificate = transformer.Certificate!;
        Assert.Equal(1, certificate.PolicyIndex);
        Assert.Equal(2, certificate.Policy!.MinimumLayer);
        Assert.Contains("of policy 1", certificate.Statement);
        Assert.Equal([0, 0, 0, 1], certificate.Candidates.Take(4).Select(candidate => candidate.PolicyIndex));
        Assert.All(certificate.Candidates, candidate => Assert.Equal(candidate.PValue <= 0.1, candidate.Passed));
    }

    [Theory]
    [InlineData(RiskProcedure.FixedSequence, 0.3)]
    [InlineData(RiskProcedure.FixedSequenceByCost, 0.3)]
    [InlineData(RiskProcedure.Bonferroni, 0.3)]
    [InlineData(RiskProcedure.Holm, 0.3)]
    [InlineData(RiskProcedure.ConformalRiskControl, 0.25)]
    public void Every_procedure_certifies_what_its_own_rule_does_and_nothing_else(RiskProcedure procedure, double delta)
    {
        const double epsilon = 0.35;
        bool isConformal = procedure == RiskProcedure.ConformalRiskControl;
        (CalibrationRow[] rows, double[][] losses, double[][] operations) = s_measured.Value;
        int[] tested = [.. Enumerable.Range(0, rows.Length)];
        int[] heldOut = [];
        if (procedure == RiskProcedure.FixedSequenceByCost)
        {
            new Random(0).Shuffle(tested);
            (heldOut, tested) = (tested[..12], tested[12..]);
        }

        using TextGenerationTransformer transformer = Fit(rows, Options(delta, epsilon, policies: [s_saturation], procedure: procedure, grid: s_grid));

        CalibrationCertificate certificate = transformer.Certificate!;
        Assert.Equal((procedure, tested.Length), (certificate.Procedure, certificate.PromptCount));
        Assert.Equal(
            EagerProcedures
                .Passed(
                    procedure, Candidate.All(1, s_grid.Length), isConformal ? delta : epsilon, Value,
                    candidate => heldOut.Average(row => operations[candidate.GridIndex][row]))
                .Select(candidate => s_grid[candidate.GridIndex])
                .Order(),
            certificate.Candidates.Where(candidate => candidate.Passed).Select(candidate => candidate.Lambda).Order());
        Assert.All(
            certificate.Candidates,
            candidate => Assert.Equal(isConformal ? double.NaN : Value(new Candidate(0, Array.IndexOf(s_grid, candidate.Lambda))), candidate.PValue, 1e-12));
        Assert.Contains(certificate.Candidates, candidate => candidate.Passed);
        Assert.Contains(certificate.Candidates, candidate => !candidate.Passed);
        Assert.Equal(
            certificate.Candidates.Where(candidate => candidate.Passed).Min(candidate => candidate.MeanExitLayer),
            certificate.Candidates.Single(candidate => candidate.Lambda == certificate.Lambda).MeanExitLayer);

        double Value(Candidate candidate)
        {
            double[] of = [.. tested.Select(row => losses[candidate.GridIndex][row])];
            return isConformal ? (of.Sum() + 1) / (of.Length + 1) : RiskTest.HoeffdingBentkus.PValue(of, delta, epsilon);
        }
    }

    [Fact]
    public void Conformal_risk_control_says_what_it_promises_and_takes_one_policy()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 20);

        using TextGenerationTransformer transformer = Fit(rows, Options(0.2, 0.2, procedure: RiskProcedure.ConformalRiskControl, grid: [1, 0.9f, 0.6f]));

        CalibrationCertificate certificate = transformer.Certificate!;
        Assert.All(certificate.Candidates, candidate => Assert.Equal(double.NaN, candidate.PValue));
        Assert.All(certificate.Candidates, candidate => Assert.Equal(((20 * candidate.MeanLoss) + 1) / 21 <= 0.2, candidate.Passed));
        Assert.Contains("on average over the draw of the 20 calibration prompts and of the new one", certificate.Statement);
        Refused<ArgumentException>(() => Fit(rows, Options(0.2, 0.2, policies: [s_policy, s_policy], procedure: RiskProcedure.ConformalRiskControl)));
        Assert.Contains(
            "at least 9 are needed",
            Refused<InvalidOperationException>(() => Fit(rows[..5], Options(0.1, 0.2, procedure: RiskProcedure.ConformalRiskControl))));
    }

    [Fact]
    public void An_interrupted_calibration_goes_on_and_gives_the_same()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 20);
        string checkpoint = Path.Combine(_folder.Path, "calibration.partial");
        using TextGenerationTransformer whole = Fit(rows, Options(0.3, 0.2, grid: [1, 0.9f, 0.8f]));

        using var cancellation = new CancellationTokenSource();
        int losses = 0;
        CalibrationLoss Loss(bool cancels) => CalibrationLoss.Custom("rougeL", outcome =>
        {
            if (++losses == 20 && cancels)
                cancellation.Cancel();
            return CalibrationLoss.RougeL.Compute(outcome);
        });
        Refused<OperationCanceledException>(
            () => Fit(rows, Options(0.3, 0.2, grid: [1, 0.9f, 0.8f], checkpoint: checkpoint, loss: Loss(true)), cancellation.Token));
        Assert.True(File.Exists(checkpoint));

        // Not written to its end.
        File.AppendAllText(checkpoint, "{\"run\": \"policy 0, λ 0.9\", \"los");
        losses = 0;
        using TextGenerationTransformer resumed = Fit(rows, Options(0.3, 0.2, grid: [1, 0.9f, 0.8f], checkpoint: checkpoint, loss: Loss(false)));

        Assert.Equal(whole.Certificate!.Candidates, resumed.Certificate!.Candidates);
        Assert.Equal(20 * (whole.Certificate!.Candidates.Count - 1), losses);
        Assert.False(File.Exists(checkpoint));
    }

    [Fact]
    public void A_checkpoint_of_something_else_is_refused()
    {
        string checkpoint = Path.Combine(_folder.Path, "other.partial");
        File.WriteAllText(checkpoint, "{\"calibration\":\"something else\"}\n");

        Assert.Contains(
            "is of another calibration",
            Refused<InvalidDataException>(() => Fit(CalibrationRow.Read("question", 10), Options(0.3, 0.2, checkpoint: checkpoint))));
        Assert.Equal("{\"calibration\":\"something else\"}\n", File.ReadAllText(checkpoint));
        Refused<DirectoryNotFoundException>(
            () => Fit(CalibrationRow.Read("question", 10), Options(0.3, 0.2, checkpoint: Path.Combine(_folder.Path, "none", "file"))));

        // Without a line's end.
        File.WriteAllText(checkpoint, "{\"weights\":[1,2,3]}");
        Assert.Contains(
            "of something else",
            Refused<InvalidDataException>(() => Fit(CalibrationRow.Read("question", 10), Options(0.3, 0.2, checkpoint: checkpoint))));
        Assert.Equal("{\"weights\":[1,2,3]}", File.ReadAllText(checkpoint));
    }

    [Fact]
    public void Impossible_options_are_refused_where_they_are_given()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Options(0, 0.1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Options(0.1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Options(double.NaN, 0.1));
        Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, grid: []));
        Assert.Contains("index 2", Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, grid: [1, 0.5f, 0.5f])).Message);
        Assert.Contains("index 0", Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, grid: [1.5f])).Message);
        Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, policies: []));
        Assert.Contains(
            "Policies[1]: The policy has no threshold to calibrate: StaticExitLayer",
            Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, policies: [s_policy, new ExitPolicy { StaticExitLayer = 3 }])).Message);
        Assert.Contains("Thresholds", Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, policies: [new ExitPolicy { Thresholds = [0.5f] }])).Message);
        Assert.Contains(
            "SelfSpeculation",
            Assert.Throws<ArgumentException>(() => Options(0.1, 0.1, policies: [new ExitPolicy { SelfSpeculation = new SelfSpeculation() }])).Message);
        Assert.Contains(
            "AdaptiveThreshold",
            Assert.Throws<ArgumentException>(
                () => Options(0.1, 0.1, policies: [new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 3, AdaptiveThreshold = true } }])).Message);
        Assert.Contains(
            "Policies[0]: MinimumLayer is 13",
            Refused<ArgumentException>(() => Fit(CalibrationRow.Read("question", 10), Options(0.3, 0.2, policies: [new ExitPolicy { MinimumLayer = 13 }]))));
    }

    [Fact]
    public void A_measure_that_no_certificate_can_hold_is_refused_before_anything_runs()
    {
        Func<TokenView, float> evaluate = _ => 0.5f;
        ExitPolicy policy = s_policy with { Confidence = Confidence.Custom("calibrated", ConfidenceNeeds.Logits, evaluate) };
        ExitCalibrationEstimator.Options options = Options(0.3, 0.2, policies: [s_policy, policy], grid: [1]);

        string message = Assert.Throws<ArgumentException>("options", () => _context.TextGeneration.CalibrateExit(options)).Message;

        Assert.Contains("Policies[1]", message, StringComparison.Ordinal);
        Assert.Contains("'calibrated'", message, StringComparison.Ordinal);
        Assert.Contains("Confidence.Register", message, StringComparison.Ordinal);
        Confidence.Register("calibrated", ConfidenceNeeds.Logits, evaluate);
        using TextGenerationTransformer transformer = Fit(CalibrationRow.Read("question", 15), options);
        string path = Path.Combine(_folder.Path, "certificate.json");
        transformer.Certificate!.Save(path);
        Assert.Equal(policy, CalibrationCertificate.Load(path).Policies[1]);
    }

    [Fact]
    public void A_certificate_with_a_number_that_is_infinite_in_double_precision_is_refused_by_name()
    {
        using TextGenerationTransformer transformer = Fit(CalibrationRow.Read("question", 10), Options(0.3, 0.2, grid: [1]));
        string path = Path.Combine(_folder.Path, "certificate.json");
        foreach (string field in (string[])["meanExitLayer", "decoder", "statePropagation", "confidence", "head", "paper", "meanLoss", "delta"])
        {
            string json = transformer.Certificate!.ToJson();
            string damaged = System.Text.RegularExpressions.Regex.Replace(json, $"(\"{field}\": )[-+.0-9E]+", "${1}1e999");
            Assert.NotEqual(json, damaged);
            File.WriteAllText(path, damaged);
            string message = Refused<InvalidDataException>(() => CalibrationCertificate.Load(path));
            Assert.Contains($"{field} is 1e999; it must be a finite number", message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(0.2, "With probability at least 0.8 over")]
    [InlineData(0.07, "With probability at least 0.93 over")]
    [InlineData(0.000001, "With probability at least 0.999999 over")]
    [InlineData(0.0000004, "With probability at least 1 - 4E-07 over")]
    [InlineData(1e-30, "With probability at least 1 - 1E-30 over")]
    [InlineData(0.1234564, "With probability at least 1 - 0.1234564 over")]
    [InlineData(0.1 + 0.2, "With probability at least 1 - 0.30000000000000004 over")]
    public void A_statement_never_promises_more_than_is_certified(double epsilon, string promise)
    {
        using TextGenerationTransformer transformer = Fit(CalibrationRow.Read("question", 40), Options(0.9, epsilon, grid: [1]));

        Assert.StartsWith(promise, transformer.Certificate!.Statement, StringComparison.Ordinal);
    }

    [Fact]
    public void Drift_is_found_where_later_prompts_lose_more_and_not_where_they_do_not()
    {
        CalibrationRow[] rows = CalibrationRow.Read("question", 40);
        using TextGenerationTransformer transformer = Fit(rows[..20], Options(0.3, 0.2, grid: [1, 0.9f]));

        var monitor = new RiskMonitor(0.3);
        RiskMonitorState calm = _context.TextGeneration.EvaluateDrift(transformer, Load(rows[20..]), monitor);
        Assert.Equal((20, false), (calm.Count, calm.HasDrifted));
        Assert.InRange(calm.MeanLoss, 0, 0.3);
        Assert.Equal(40, _context.TextGeneration.EvaluateDrift(transformer, Load(rows[20..]), monitor).Count);

        // A policy that no certificate allows, as if the prompts had changed.
        using TextGenerationTransformer careless = Fit(rows[..20], Options(0.3, 0.2, grid: [1, 0.9f], loss: CalibrationLoss.Custom("later", _ => _lossOfAll)));
        _lossOfAll = 1;
        RiskMonitorState drifted = _context.TextGeneration.EvaluateDrift(careless, Load(rows), loss: CalibrationLoss.Custom("later", _ => _lossOfAll));
        Assert.True(drifted.HasDrifted);
        Assert.Contains(_warnings, warning => warning.StartsWith("Drift: over 40 prompts the mean later loss is 1.0000", StringComparison.Ordinal));

        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(
            () => _context.TextGeneration.EvaluateDrift(transformer, Load(rows), monitor, cancellationToken: cancelled.Token));
        Assert.Equal(40, monitor.State.Count);

        Assert.Contains(
            "is none of the library's", Assert.Throws<ArgumentException>(() => _context.TextGeneration.EvaluateDrift(careless, Load(rows))).Message);
        Assert.Throws<ArgumentException>(() => _context.TextGeneration.EvaluateDrift(transformer, Load(rows), new RiskMonitor(0.1)));
        Assert.Throws<ArgumentException>(() => _context.TextGeneration.EvaluateDrift(transformer, Load(rows), loss: CalibrationLoss.TokenF1));
    }

    private double _lossOfAll;

    private static ExitCalibrationEstimator.Options Options(
        double delta, double epsilon, IReadOnlyList<ExitPolicy>? policies = null, CalibrationLoss? loss = null,
        float[]? grid = null, RiskTest test = RiskTest.HoeffdingBentkus,
        RiskProcedure procedure = RiskProcedure.FixedSequence, string? label = null, string? checkpoint = null) => new()
    {
        Generation = new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text", InputColumnName = "Prompt", Model = TestModels.Model(TestModels.Demo),
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 8, BatchSize = 4 },
        },
        Policies = policies ?? [s_policy],
        Delta = delta,
        Epsilon = epsilon,
        Loss = loss ?? CalibrationLoss.RougeL,
        Grid = grid ?? [1, 0.95f, 0.9f, 0.8f, 0.5f, 0.2f, 0.05f],
        Test = test,
        Procedure = procedure,
        LabelColumnName = label,
        CheckpointPath = checkpoint,
    };

    private static IReadOnlyList<GenerationResult> Generate(CalibrationRow[] rows, ExitPolicy? policy) => TestModels.Model(TestModels.Demo).Generate(
        [.. rows.Select(row => GenerationInput.FromText(row.Prompt!))], new TextGenerationOptions { MaxNewTokens = 8, BatchSize = 4, Exit = policy });

    private static string Refused<T>(Func<object> call)
        where T : Exception => Assert.Throws<T>(call).Message;

    private TextGenerationTransformer Fit(CalibrationRow[] rows, ExitCalibrationEstimator.Options options, CancellationToken cancellationToken = default) =>
        _context.TextGeneration.CalibrateExit(options, cancellationToken).Fit(Load(rows));

    private IDataView Load(CalibrationRow[] rows) => _context.Data.LoadFromEnumerable(rows);
}
