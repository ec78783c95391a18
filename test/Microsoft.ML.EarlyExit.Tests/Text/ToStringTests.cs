using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.EarlyExit.Tests;

public class ToStringTests
{
    private static readonly OperationCounts s_operations = new(-1, 2, 3, 4, 5);

    public static TheoryData<object, string> Texts => new()
    {
        { new ExitPolicy(), "ExitPolicy { MinimumLayer = 1, Threshold = 0.9, Confidence = softmaxMargin }" },
        {
            new ExitPolicy
            {
                MinimumLayer = 4, Thresholds = [1f, 0.75f], Pruning = VocabularyPruning.Decaying(), ThresholdTemperature = 1.5f, SelfSpeculation = new(),
            },
            "ExitPolicy { MinimumLayer = 4, Thresholds = [1, 0.75], ThresholdTemperature = 1.5, Confidence = softmaxMargin, "
            + "Pruning = decaying (kMax 35000, kMin 250), "
            + "SelfSpeculation = SelfSpeculation { } }"
        },
        { new ExitPolicy { StaticExitLayer = 3 }, "ExitPolicy { StaticExitLayer = 3 }" },
        {
            new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 2 }, Threshold = 0.25f, StatePropagation = StatePropagation.ParallelDecoding },
            "ExitPolicy { ShallowDeep = ShallowDeep { ExitLayer = 2, AdaptiveThreshold = False }, Threshold = 0.25, Confidence = softmaxMargin, "
            + "StatePropagation = ParallelDecoding }"
        },
        { Confidence.HiddenStateSaturation, "hiddenStateSaturation" },
        { Confidence.Classifier([[1, 2]], [0.5f]), "classifier (1 row of 2 weights)" },
        { Confidence.JsdContrastive(), "jsdContrastive" },
        {
            Confidence.WeightedContrastive(new ContrastiveOptions { Alpha = 0.25f }),
            "weightedContrastive (Alpha = 0.25, PlausibilityFromPruning = False, AmateursBelowMinimumLayer = False, Token = Expert)"
        },
        { VocabularyPruning.None, "none" },
        { VocabularyPruning.Fixed(500), "fixed (k 500)" },
        { VocabularyPruning.Adaptive(0.5f), "adaptive (scale 0.5, kMax 35000, kMin 250)" },
        { new SelfSpeculation { DraftTokens = 4 }, "SelfSpeculation { DraftTokens = 4 }" },
        { new RougeScore(0.5, 1 / 3.0, 0.4), "RougeScore { Precision = 0.5, Recall = 0.333333, FMeasure = 0.4 }" },
        { new SquadScore(1, 0.25), "SquadScore { ExactMatch = 1, F1 = 0.25 }" },
        { new ConfidenceInterval(0.5, double.NaN), "ConfidenceInterval { Lower = 0.5, Upper = NaN }" },
        {
            new RiskMonitorState(3, 0.1, double.PositiveInfinity, 1e-7, true),
            "RiskMonitorState { Count = 3, MeanLoss = 0.1, EValue = Infinity, PValue = 1E-07, HasDrifted = True }"
        },
        { new CalibrationOutcome("a", "b", ["c", "d"]), "CalibrationOutcome { EarlyText = \"a\", FullText = \"b\", References = [\"c\", \"d\"] }" },
        { s_operations, "OperationCounts { Decoder = -1, StatePropagation = 2, Confidence = 3, Head = 4, Paper = 5, Total = 8 }" },
        {
            new GeneratedToken(7, " pub", 3, 0.75f, null),
            "GeneratedToken { TokenId = 7, TextDelta = \" pub\", ExitLayer = 3, Confidence = 0.75 }"
        },
        {
            new GenerationStep(7, 3, [new ConfidenceEvaluation(2, 0.5f, 10, null)], s_operations),
            "GenerationStep { TokenId = 7, ExitLayer = 3, Evaluations = [1 in all], "
            + "Operations = OperationCounts { Decoder = -1, StatePropagation = 2, Confidence = 3, Head = 4, Paper = 5, Total = 8 } }"
        },
        {
            new GenerationResult
            {
                Text = "a pub", TokenIds = [.. Enumerable.Range(1, 10)], ExitLayers = [1, 2], Confidences = [0.5f, float.NaN],
                StopReason = StopReason.MaxNewTokens,
            },
            "GenerationResult { Text = \"a pub\", TokenIds = [1, 2, 3, 4, 5, 6, 7, 8, … 10 in all], ExitLayers = [1, 2], Confidences = [0.5, NaN], "
            + "StopReason = MaxNewTokens, CutInputTokens = 0, "
            + "Operations = OperationCounts { Decoder = 0, StatePropagation = 0, Confidence = 0, Head = 0, Paper = 0, Total = 0 }, "
            + "DraftedTokens = 0, AcceptedTokens = 0 }"
        },
        {
            new ExitStatistics { TokenCount = 2, MeanExitLayer = 1.5, Histogram = [0, 1, 1], MeanExitLayerByPosition = [1.5], TokenCountByPosition = [2] },
            "ExitStatistics { TokenCount = 2, MeanExitLayer = 1.5, Histogram = [0, 1, 1], MeanExitLayerByPosition = [1.5], TokenCountByPosition = [2] }"
        },
        { CalibrationLoss.RougeL, "rougeL" },
    };

    /// <summary>Every public type that says more than its name, so that a new one is looked at.</summary>
    public static TheoryData<Type> Records =>
        [.. new[] { typeof(ExitPolicy), typeof(RougeScore) }.SelectMany(type => type.Assembly.GetExportedTypes()).Where(type =>
            type.GetMethod("<Clone>$") is not null
            || (type.IsValueType && type.GetMethod("PrintMembers", BindingFlags.NonPublic | BindingFlags.Instance) is not null))];

    [Theory]
    [MemberData(nameof(Texts), DisableDiscoveryEnumeration = true)]
    public void It_reads_the_same_in_every_culture(object value, string expected)
    {
        CultureInfo former = CultureInfo.CurrentCulture;
        try
        {
            foreach (CultureInfo culture in (CultureInfo[])[CultureInfo.InvariantCulture, Foreign(",", "."), Foreign("٫", "٬"), Foreign("'", " ")])
            {
                CultureInfo.CurrentCulture = culture;
                Assert.Equal(expected, value.ToString());
            }
        }
        finally
        {
            CultureInfo.CurrentCulture = former;
        }
    }

    [Theory]
    [MemberData(nameof(Records), DisableDiscoveryEnumeration = true)]
    public void No_record_leaves_its_text_to_the_compiler(Type type) =>
        Assert.Null(type.GetMethod(nameof(ToString), Type.EmptyTypes)!.GetCustomAttribute<CompilerGeneratedAttribute>());

    [Fact]
    public void Options_and_metrics_show_what_they_hold_and_no_names_of_types()
    {
        CultureInfo former = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = Foreign(",", ".");
            string options = new TextGenerationOptions { RepetitionPenalty = 1.25f, Exit = new ExitPolicy { Threshold = 0.5f } }.ToString();
            Assert.Contains("RepetitionPenalty = 1.25", options, StringComparison.Ordinal);
            Assert.Contains("Exit = ExitPolicy { MinimumLayer = 1, Threshold = 0.5, Confidence = softmaxMargin }", options, StringComparison.Ordinal);
            Assert.DoesNotContain("MaxNewTokens", options, StringComparison.Ordinal);

            string metrics = new TextGenerationMetrics
            {
                RowCount = 4, MissingPredictionCount = 1, MissingReferenceCount = 0, FailedRowCount = 0, ReadingTime = TimeSpan.FromSeconds(1.5),
                ConfidenceIntervals = new Dictionary<string, ConfidenceInterval> { ["F1"] = new(0, 1) }, F1 = 12.5, Rouge = default(RougeScores),
            }.ToString();
            Assert.Contains("ScoredRowCount = 3", metrics, StringComparison.Ordinal);
            Assert.Contains("F1 = 12.5", metrics, StringComparison.Ordinal);
            Assert.Contains("RougeL = RougeScore { Precision = 0, Recall = 0, FMeasure = 0 }", metrics, StringComparison.Ordinal);
            Assert.Contains("ReadingTime = 00:00:01.5", metrics, StringComparison.Ordinal);
            Assert.Contains("ConfidenceIntervals = [1 in all]", metrics, StringComparison.Ordinal);
            Assert.All((string[])[options, metrics, TestModels.Model(TestModels.Demo).Configuration.ToString()], text =>
            {
                Assert.DoesNotContain("System.", text, StringComparison.Ordinal);
                Assert.DoesNotContain("Microsoft.", text, StringComparison.Ordinal);
                Assert.DoesNotMatch(@"\d,\d", text);
            });
        }
        finally
        {
            CultureInfo.CurrentCulture = former;
        }
    }

    // The runtime knows only the invariant culture here, and takes any other that is made of it.
    private static CultureInfo Foreign(string decimalSeparator, string groupSeparator)
    {
        var culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        culture.NumberFormat.NumberDecimalSeparator = decimalSeparator;
        culture.NumberFormat.NumberGroupSeparator = groupSeparator;
        culture.NumberFormat.NegativeSign = "minus ";
        culture.NumberFormat.NaNSymbol = "no number";
        culture.NumberFormat.PositiveInfinitySymbol = "much";
        return culture;
    }
}
