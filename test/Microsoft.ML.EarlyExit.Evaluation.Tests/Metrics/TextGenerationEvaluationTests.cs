using FsCheck.Xunit;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class TextGenerationEvaluationTests
{
    private static readonly TextGenerationEvaluationOptions s_options = new() { PredictionColumnName = "Prediction", LabelColumnName = "Reference" };

    private readonly MLContext _context = new(seed: 1);
    private readonly List<string> _warnings = [];

    public TextGenerationEvaluationTests() => _context.Log += (_, log) =>
    {
        if (log.Kind == ChannelMessageKind.Warning)
            _warnings.Add(log.Message);
    };

    [Fact]
    public void Figures_are_the_means_of_rows_and_corpus_scores_of_all()
    {
        EvaluationRow[] rows =
        [
            new() { Prediction = "the cat sat on the mat", Reference = "the cat is on the mat" },
            new() { Prediction = "a dog", Reference = "the dog barked loudly" },
            new() { Prediction = "", Reference = "something" },
        ];

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(Load(rows), labelColumnName: "Reference", predictionColumnName: "Prediction");

        var rouge = new RougeScorer();
        RougeScores[] each = [.. rows.Select(row => rouge.Score(row.Prediction!, row.Reference!))];
        Assert.Equal((3, 3, 0), (metrics.RowCount, metrics.ScoredRowCount, metrics.BadRowCount));
        Assert.Equal(each.Average(scores => scores.Rouge1.Precision), metrics.Rouge!.Value.Rouge1.Precision, 1e-12);
        Assert.Equal(each.Average(scores => scores.Rouge2.Recall), metrics.Rouge.Value.Rouge2.Recall, 1e-12);
        Assert.Equal(each.Average(scores => scores.RougeL.FMeasure), metrics.Rouge.Value.RougeL.FMeasure, 1e-12);
        Assert.Equal(each.Average(scores => scores.RougeLsum.FMeasure), metrics.Rouge.Value.RougeLsum.FMeasure, 1e-12);
        Assert.Equal(100 * rows.Average(row => SquadScorer.Score(row.Prediction!, row.Reference!).F1), metrics.F1!.Value, 1e-12);
        Assert.Equal(100 * rows.Average(row => SquadScorer.Score(row.Prediction!, row.Reference!).ExactMatch), metrics.ExactMatch!.Value, 1e-12);
        Assert.Equal(
            Corpus(rows, BleuScorer.StatisticCount, (prediction, references, numbers) => BleuScorer.Count(prediction, references, numbers), BleuScorer.Score),
            metrics.Bleu!.Score, 1e-12);
        Assert.Equal(Corpus(rows, ChrfScorer.StatisticCount, ChrfScorer.Count, ChrfScorer.Score), metrics.Chrf!.Score, 1e-12);
        Assert.StartsWith("nrefs:1|", metrics.Bleu.Signature);
        Assert.Null(metrics.Agreement);
        Assert.Null(metrics.Exits);
        Assert.Empty(metrics.ConfidenceIntervals);
    }

    [Fact]
    public void Letters_that_ROUGE_drops_are_counted_and_warned_of()
    {
        EvaluationRow[] rows = [new() { Prediction = "Это ok", Reference = "Это хорошо", Full = "да" }];
        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference", FullDepthColumnName = "Full",
        });

        Assert.Equal(new RougeTextStatistics(5 + 9 + 2, 3 + 9 + 2, 1), metrics.RougeTexts);
        Assert.Equal(0, metrics.Rouge!.Value.RougeL.FMeasure);
        Assert.Contains(_warnings, warning => warning.Contains(
            "ROUGE's tokenizer, which knows the letters a to z only, drops 14 of 16 letters (87.5 %) of the texts, "
            + "and its scores know nothing of them: set RougeTokenizer to Unicode, or read chrF."));

        _warnings.Clear();
        metrics = _context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference", RougeTokenizer = RougeTokenizer.Unicode,
        });
        Assert.Equal(new RougeTextStatistics(14, 0, 1), metrics.RougeTexts);
        Assert.Equal(0.5, metrics.Rouge!.Value.RougeL.FMeasure);
        Assert.Empty(_warnings);
        Assert.Null(_context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference", Metrics = EvaluationMetrics.Squad,
        }).RougeTexts);
    }

    [Fact]
    public void What_options_choose_is_what_the_scorers_give()
    {
        EvaluationRow[] rows =
        [
            new() { Prediction = "A cat sat. The Dog barked, 我们吃饭。", Reference = "The dog barked! A cat sat, 我们在吃饭。" },
            new() { Prediction = "one two", Reference = "one, two" },
        ];
        (string[] predictions, string[][] references) = ([.. rows.Select(row => row.Prediction!)], [.. rows.Select(row => new[] { row.Reference! })]);

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference",
            SplitSentences = true, RougeTokenizer = RougeTokenizer.Unicode, BleuTokenizer = BleuTokenizer.Zh, BleuLowercase = true,
            ChrfWordOrder = 2, BootstrapSamples = 20,
        });

        var rouge = new RougeScorer(tokenizer: RougeTokenizer.Unicode, splitSentences: true);
        Assert.Equal(rows.Average(row => rouge.Score(row.Prediction!, row.Reference!).RougeLsum.FMeasure), metrics.Rouge!.Value.RougeLsum.FMeasure, 1e-12);
        Assert.Equal(2, metrics.RougeTexts!.Value.MostLines);
        Assert.Equal(BleuScorer.Score(predictions, references, BleuTokenizer.Zh, lowercase: true).ToString(), metrics.Bleu!.ToString());
        Assert.Equal(ChrfScorer.Score(predictions, references, wordOrder: 2).ToString(), metrics.Chrf!.ToString());
        Assert.NotEqual(ChrfScorer.Score(predictions, references).Score, metrics.Chrf.Score);
        Assert.InRange(metrics.Chrf.Score, metrics.ConfidenceIntervals["Chrf.Score"].Lower - 1e-9, metrics.ConfidenceIntervals["Chrf.Score"].Upper + 1e-9);
        Assert.Throws<ArgumentOutOfRangeException>("ChrfWordOrder", () => new TextGenerationEvaluationOptions { ChrfWordOrder = 3 });
        Assert.Throws<ArgumentOutOfRangeException>("RougeTokenizer", () => new TextGenerationEvaluationOptions { RougeTokenizer = (RougeTokenizer)2 });
        Assert.Throws<ArgumentOutOfRangeException>("BleuTokenizer", () => new TextGenerationEvaluationOptions { BleuTokenizer = (BleuTokenizer)9 });
    }

    [Fact]
    public async Task An_evaluation_ends_within_a_row_of_huge_texts()
    {
        // Minutes, were they compared to the end; in lines, so that it is also the summary that ends.
        var random = new Random(3);
        string[] texts = [.. Enumerable.Range(0, 2).Select(_ =>
            string.Concat(Enumerable.Range(0, 2_000_000).Select(word => (char)('a' + random.Next(26)) + (word % 500_000 == 0 ? "\n" : " "))))];
        using var cancellation = new CancellationTokenSource();
        IDataView data = Load([new() { Prediction = texts[0], Reference = texts[1] }]);

        Task evaluation = Task.Run(
            () => _context.TextGeneration.Evaluate(
                data,
                new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", LabelColumnName = "Reference", Metrics = EvaluationMetrics.Rouge },
                cancellation.Token),
            TestContext.Current.CancellationToken);
        await Task.Delay(1000, TestContext.Current.CancellationToken);
        Assert.False(evaluation.IsCompleted);
        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => evaluation.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Several_references_are_a_vector_of_which_the_best_counts_or_all()
    {
        EvaluationRow[] rows = [new() { Prediction = "a b c d", References = ["x y", null, "a b c e"] }];

        RougeScore best = Evaluate(rows, labels: "References").Rouge!.Value.Rouge1;
        RougeScore average = _context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "References", Aggregation = ReferenceAggregation.Average,
        }).Rouge!.Value.Rouge1;

        Assert.Equal(0.75, best.FMeasure, 1e-12);
        Assert.Equal(0.375, average.FMeasure, 1e-12);
    }

    [Fact]
    public void Missing_texts_are_counted_and_an_empty_text_is_a_value()
    {
        EvaluationRow[] rows =
        [
            new() { Prediction = "a", Reference = "a" },
            new() { Prediction = null, Reference = "a" },
            new() { Prediction = "a", Reference = null },
            new() { Prediction = "", Reference = "a" },
            new() { Prediction = "a", Reference = "" },
            new() { Prediction = "a", Reference = "a", StopReason = nameof(StopReason.Error) },
        ];

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(Load(rows), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference", StopReasonColumnName = "StopReason", Metrics = EvaluationMetrics.Rouge,
        });

        Assert.Equal((6, 3, 3), (metrics.RowCount, metrics.ScoredRowCount, metrics.BadRowCount));
        Assert.Equal((1, 1, 1), (metrics.MissingPredictionCount, metrics.MissingReferenceCount, metrics.FailedRowCount));
        Assert.Equal(1.0 / 3, metrics.Rouge!.Value.Rouge1.FMeasure, 1e-12);
        Assert.Equal(
            ["Row 1, counted from 0, cannot be evaluated: its text is missing from column 'Prediction'.",
             "Row 2, counted from 0, cannot be evaluated: column 'Reference' has no reference for it.",
             "Row 5, counted from 0, cannot be evaluated: it could not be generated, "
                 + "as column 'StopReason' says, or its exit layers or operation counts cannot be."],
            _warnings.Select(warning => warning[(warning.IndexOf("Row", StringComparison.Ordinal))..]));
    }

    [Fact]
    public void A_bad_row_is_an_exception_where_that_is_asked_for()
    {
        IDataView data = Load([new() { Prediction = "a", Reference = "a" }, new() { Prediction = "a", References = [], Reference = null }]);
        var options = new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", LabelColumnName = "References", ThrowOnBadRows = true };

        var exception = Assert.Throws<InvalidOperationException>(() => _context.TextGeneration.Evaluate(data, options));

        Assert.Equal("Row 0, counted from 0, cannot be evaluated: column 'References' has no reference for it.", exception.Message);
    }

    [Fact]
    public void No_row_or_only_bad_ones_leave_the_figures_out()
    {
        TextGenerationMetrics none = Evaluate([]);
        TextGenerationMetrics bad = Evaluate([new() { Prediction = null }]);

        Assert.Equal((0, 1), (none.RowCount, bad.BadRowCount));
        Assert.All([none, bad], metrics => Assert.Equal((null, null, null, null), (metrics.Rouge, metrics.F1, metrics.Bleu?.Score, metrics.Chrf?.Score)));
        Assert.Contains(_warnings, warning => warning.Contains("the data is empty"));
    }

    [Fact]
    public void Agreement_compares_with_the_full_models_texts()
    {
        TextAgreement agreement = _context.TextGeneration.Evaluate(
            Load([new() { Prediction = "a b", Full = "a b" }, new() { Prediction = "x b", Full = "y b" }]),
            new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", FullDepthColumnName = "Full" }).Agreement!.Value;

        // "a" is an article to SQuAD's F1.
        Assert.Equal(new TextAgreement(0.5, 0.75, 0.75), agreement);
    }

    [Fact]
    public void Exit_layers_are_counted_over_all_and_by_position()
    {
        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(
            Load([new() { Layers = [1, 3, 3] }, new() { Layers = [2] }, new() { Layers = [] }, new() { Layers = [1, 0] }]),
            new TextGenerationEvaluationOptions { ExitLayersColumnName = "Layers" });

        ExitStatistics exits = metrics.Exits!;
        Assert.Equal((4, 2.25), (exits.TokenCount, exits.MeanExitLayer));
        Assert.Equal([0, 1, 1, 2], exits.Histogram);
        Assert.Equal([1.5, 3, 3], exits.MeanExitLayerByPosition);
        Assert.Equal([2, 1, 1], exits.TokenCountByPosition);
        Assert.Equal(1, metrics.FailedRowCount);
        Assert.True(metrics.TokensPerSecond > 0);
    }

    [Fact]
    public void Rows_get_their_scores_as_columns()
    {
        EvaluationRow[] rows =
        [
            new() { Prediction = "the cat sat", Reference = "the cat sat down", Full = "the cat sat" },
            new() { Prediction = null, Reference = "b", Full = "c" },
            new() { Prediction = "b", Reference = "b", Full = "c" },
        ];
        var options = new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", LabelColumnName = "Reference", FullDepthColumnName = "Full" };

        IDataView view = _context.TextGeneration.EvaluateRows(Load(rows), options);
        RowScoresOutput[] output = [.. _context.Data.CreateEnumerable<RowScoresOutput>(view, reuseRowObject: false)];

        RougeScores first = new RougeScorer().Score("the cat sat", "the cat sat down");
        Assert.Equal([first.Rouge1.Precision, first.Rouge1.Recall, first.Rouge1.FMeasure], output[0].Rouge1);
        Assert.Equal([first.RougeL.Precision, first.RougeL.Recall, first.RougeL.FMeasure], output[0].RougeL);
        Assert.Equal((1.0, ""), (output[0].AgreementExact, output[0].EvaluationProblem));
        Assert.All(output[1].Rouge1, number => Assert.Equal(double.NaN, number));
        Assert.Equal((double.NaN, double.NaN), (output[1].F1, output[1].AgreementExact));
        Assert.Equal("its text is missing from column 'Prediction' or 'Full'", output[1].EvaluationProblem);
        Assert.Equal((1.0, 0.0), (output[2].F1, output[2].AgreementExact));
        Assert.Equal(["the cat sat down", "b", "b"], output.Select(row => row.Reference));

        VBuffer<ReadOnlyMemory<char>> names = default;
        view.Schema["RougeL"].GetSlotNames(ref names);
        Assert.Equal(["Precision", "Recall", "FMeasure"], names.DenseValues().Select(name => name.ToString()));
    }

    [Fact]
    public void Scores_follow_their_row_when_rows_are_filtered_shuffled_and_cached()
    {
        EvaluationRow[] rows = [.. Enumerable.Range(0, 40).Select(i => new EvaluationRow { Prediction = $"{i % 3} x", Reference = $"{i % 2} x" })];
        IDataView view = _context.TextGeneration.EvaluateRows(Load(rows), s_options);
        IDataView kept = _context.Data.ShuffleRows(_context.Data.Cache(_context.Data.FilterRowsByColumn(view, "F1", lowerBound: 0.9)), seed: 1);

        Assert.Equal(
            rows.Count(row => row.Prediction == row.Reference),
            _context.Data.CreateEnumerable<EvaluationRow>(kept, reuseRowObject: false).Count(row => row.Prediction == row.Reference));
    }

    [Fact]
    public void What_cannot_be_evaluated_is_said_before_a_row_is_read()
    {
        IDataView data = Load([]);

        Throws<ArgumentException>("There is nothing to evaluate", new TextGenerationEvaluationOptions());
        Throws<ArgumentException>(
            "name PredictionColumnName too", new TextGenerationEvaluationOptions { ExitLayersColumnName = "Layers", LabelColumnName = "Reference" });
        Throws<ArgumentException>("nothing to compare the predictions with", new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction" });
        Throws<ArgumentException>(
            "Metrics is None",
            new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", LabelColumnName = "Reference", Metrics = EvaluationMetrics.None });
        Throws<ArgumentOutOfRangeException>(
            "Could not find column 'Nothing', which LabelColumnName names",
            new TextGenerationEvaluationOptions { PredictionColumnName = "Prediction", LabelColumnName = "Nothing" });
        Throws<ArgumentOutOfRangeException>(
            "expected String, got Vector<Int32>", new TextGenerationEvaluationOptions { PredictionColumnName = "Layers", LabelColumnName = "Reference" });
        Throws<ArgumentOutOfRangeException>(
            "expected a vector of Int32, got String", new TextGenerationEvaluationOptions { ExitLayersColumnName = "Reference" });
        Throws<ArgumentOutOfRangeException>("expected a vector of 5 Int64", new TextGenerationEvaluationOptions { OperationCountsColumnName = "Layers" });
        Assert.Throws<ArgumentException>(() =>
            _context.TextGeneration.EvaluateRows(data, new TextGenerationEvaluationOptions { ExitLayersColumnName = "Layers" }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationEvaluationOptions { BootstrapSamples = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationEvaluationOptions { ConfidenceLevel = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationEvaluationOptions { Metrics = (EvaluationMetrics)64 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new TextGenerationEvaluationOptions { Aggregation = (ReferenceAggregation)7 });

        void Throws<T>(string message, TextGenerationEvaluationOptions options)
            where T : ArgumentException =>
            Assert.Contains(message, Assert.Throws<T>(() => _context.TextGeneration.Evaluate(data, options)).Message);
    }

    [Fact]
    public void Intervals_hold_their_figures_and_are_the_same_for_the_same_seed()
    {
        var random = new Random(5);
        string Words() => string.Join(' ', Enumerable.Range(0, 6).Select(_ => "abcd"[random.Next(4)]));
        EvaluationRow[] rows = [.. Enumerable.Range(0, 300).Select(_ =>
            new EvaluationRow { Prediction = Words(), Reference = Words(), Layers = [random.Next(1, 9)] })];
        TextGenerationEvaluationOptions Options(int seed, double level = 0.95) => new()
        {
            PredictionColumnName = "Prediction", LabelColumnName = "Reference", ExitLayersColumnName = "Layers",
            BootstrapSamples = 400, Seed = seed, ConfidenceLevel = level,
        };

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(Load(rows), Options(3));
        TextGenerationMetrics again = _context.TextGeneration.Evaluate(Load(rows), Options(3));
        TextGenerationMetrics other = _context.TextGeneration.Evaluate(Load(rows), Options(4));
        TextGenerationMetrics narrow = _context.TextGeneration.Evaluate(Load(rows), Options(3, 0.5));

        Holds("Rouge.RougeL.FMeasure", metrics.Rouge!.Value.RougeL.FMeasure);
        Holds("Rouge.Rouge1.Precision", metrics.Rouge!.Value.Rouge1.Precision);
        Holds("F1", metrics.F1!.Value);
        Holds("Bleu.Score", metrics.Bleu!.Score);
        Holds("Chrf.Score", metrics.Chrf!.Score);
        Holds("Exits.MeanExitLayer", metrics.Exits!.MeanExitLayer);
        Assert.Equal(metrics.ConfidenceIntervals, again.ConfidenceIntervals);
        Assert.NotEqual(metrics.ConfidenceIntervals["F1"], other.ConfidenceIntervals["F1"]);

        void Holds(string name, double figure)
        {
            ConfidenceInterval interval = metrics.ConfidenceIntervals[name];
            Assert.InRange(figure, interval.Lower, interval.Upper);
            Assert.InRange(narrow.ConfidenceIntervals[name].Upper - narrow.ConfidenceIntervals[name].Lower, 1e-9, interval.Upper - interval.Lower);
        }
    }

    [Property(MaxTest = 20)]
    public void An_interval_of_a_mean_is_as_wide_as_the_normal_one(int seed)
    {
        const int Rows = 2000;
        var random = new Random(seed);
        var bootstrap = new PoissonBootstrap(1000, 2, seed);
        double sum = 0, squares = 0;
        for (int row = 0; row < Rows; row++)
        {
            double value = random.NextDouble();
            sum += value;
            squares += value * value;
            bootstrap.Add([1, value]);
        }

        double mean = sum / Rows;
        double expected = 1.96 * Math.Sqrt(((squares / Rows) - (mean * mean)) / Rows);
        ConfidenceInterval interval = bootstrap.Interval(sums => sums[1] / sums[0], 0.95);
        Assert.InRange((interval.Upper - interval.Lower) / 2, 0.8 * expected, 1.2 * expected);
        Assert.InRange(mean, interval.Lower, interval.Upper);
    }

    private delegate void Counter(string prediction, ReadOnlySpan<string> references, Span<long> statistics);

    private static double Corpus(EvaluationRow[] rows, int count, Counter counter, Func<ReadOnlySpan<long>, double> score)
    {
        long[] sums = new long[count];
        long[] one = new long[count];
        foreach (EvaluationRow row in rows)
        {
            counter(row.Prediction!, [row.Reference!], one);
            for (int index = 0; index < count; index++)
                sums[index] += one[index];
        }

        return score(sums);
    }

    private TextGenerationMetrics Evaluate(EvaluationRow[] rows, string labels = "Reference") =>
        _context.TextGeneration.Evaluate(Load(rows), labels, "Prediction");

    private IDataView Load(EvaluationRow[] rows) => _context.Data.LoadFromEnumerable(rows);
}
