using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What is evaluated, and how. Immutable; every value is checked where it is given.</summary>
public sealed record TextGenerationEvaluationOptions
{
    internal static class Defaults
    {
        public const EvaluationMetrics Metrics = EvaluationMetrics.All;
        public const ReferenceAggregation Aggregation = ReferenceAggregation.Best;
        public const double ConfidenceLevel = 0.95;
        public const int Seed = 0;
    }

    /// <summary>The most bootstrap samples that can be asked for: each holds half a kilobyte.</summary>
    private const int MostBootstrapSamples = 100_000;

    private readonly EvaluationMetrics _metrics = Defaults.Metrics;
    private readonly ReferenceAggregation _aggregation = Defaults.Aggregation;
    private readonly RougeTokenizer _rougeTokenizer;
    private readonly BleuTokenizer _bleuTokenizer;
    private readonly int _chrfWordOrder;
    private readonly int _bootstrapSamples;
    private readonly double _confidenceLevel = Defaults.ConfidenceLevel;

    /// <summary>The column of generated texts. A missing text (null) makes its row a bad one; an empty text is a value.</summary>
    /// <value>The default value is null: texts are not judged.</value>
    public string? PredictionColumnName { get; init; }

    /// <summary>
    /// The column of references: a text, or a vector of texts, of which any may be right. A missing text (null), or a vector without items, makes its row a bad
    /// one; an empty text is a value.
    /// </summary>
    /// <value>The default value is null: predictions are not compared with references.</value>
    public string? LabelColumnName { get; init; }

    /// <summary>The column of the texts that the full model generates, to measure how far predictions agree with them. A missing text makes its row a bad
    /// one.</summary>
    /// <value>The default value is null: no agreement is measured.</value>
    public string? FullDepthColumnName { get; init; }

    /// <summary>The column of exit layers, as <c>TextGenerationEstimator.Options.ExitLayersColumnName</c> names it: a vector of <see cref="int"/>.</summary>
    /// <value>The default value is null: no exit statistics and no number of tokens.</value>
    public string? ExitLayersColumnName { get; init; }

    /// <summary>The column of operation counts, as <c>TextGenerationEstimator.Options.OperationCountsColumnName</c> names it: a vector of five
    /// <see cref="long"/>.</summary>
    /// <value>The default value is null: no operation counts.</value>
    public string? OperationCountsColumnName { get; init; }

    /// <summary>The column of stop reasons, as <c>TextGenerationEstimator.Options.StopReasonColumnName</c> names it. A row whose generation failed is a bad
    /// one.</summary>
    /// <value>The default value is null: no row is known to have failed.</value>
    public string? StopReasonColumnName { get; init; }

    /// <summary>Which metrics compare predictions with references.</summary>
    /// <value>The default value is <see cref="EvaluationMetrics.All"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value has a bit that is no metric.</exception>
    public EvaluationMetrics Metrics
    {
        get => _metrics;
        init => _metrics = (value & ~EvaluationMetrics.All) == 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Metrics), value, $"Metrics must be made of {EvaluationMetrics.All}.");
    }

    /// <summary>What is made of several references of a row by ROUGE. SQuAD's metrics always take the best, BLEU and chrF count as sacrebleu does.</summary>
    /// <value>The default value is <see cref="ReferenceAggregation.Best"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not defined.</exception>
    public ReferenceAggregation Aggregation
    {
        get => _aggregation;
        init => _aggregation = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Aggregation), value, "Aggregation must be Best or Average.");
    }

    /// <summary>Whether ROUGE compares the stems of words, of Unicode words those of ASCII letters and digits.</summary>
    /// <value>The default value is false.</value>
    public bool UseStemmer { get; init; }

    /// <summary>What words are to ROUGE, also where texts are compared with the full model's.</summary>
    /// <value>The default value is <see cref="RougeTokenizer.Rouge"/>, as in rouge_score, which knows the letters a to z only: the log warns where it drops
    /// more than 1 % of the letters of the texts.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not defined.</exception>
    public RougeTokenizer RougeTokenizer
    {
        get => _rougeTokenizer;
        init => _rougeTokenizer = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(RougeTokenizer), value, "RougeTokenizer must be Rouge or Unicode.");
    }

    /// <summary>Whether ROUGE-Lsum takes each sentence for a line; <see cref="RougeScorer"/> says where sentences end.</summary>
    /// <value>The default value is false: lines are what "\n" separates, and on texts of one line ROUGE-Lsum is ROUGE-L.</value>
    public bool SplitSentences { get; init; }

    /// <summary>What tokens are to BLEU.</summary>
    /// <value>The default value is <see cref="BleuTokenizer.V13a"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not defined.</exception>
    public BleuTokenizer BleuTokenizer
    {
        get => _bleuTokenizer;
        init => _bleuTokenizer = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(BleuTokenizer), value, "BleuTokenizer must be a defined BleuTokenizer.");
    }

    /// <summary>Whether BLEU compares texts in lower case.</summary>
    /// <value>The default value is false.</value>
    public bool BleuLowercase { get; init; }

    /// <summary>The longest n-grams of words that chrF counts besides those of characters, 0 to 2; with 2 it is chrF++.</summary>
    /// <value>The default value is 0: chrF.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int ChrfWordOrder
    {
        get => _chrfWordOrder;
        init => _chrfWordOrder = value is >= 0 and <= ChrfScorer.MostWordOrders
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ChrfWordOrder), value, $"ChrfWordOrder must be from 0 to {ChrfScorer.MostWordOrders}.");
    }

    /// <summary>Bootstrap samples of the rows that confidence intervals are made of, 0 to 100,000; 1,000 is usual.</summary>
    /// <value>The default value is 0: no intervals.</value>
    /// <remarks>
    /// The Poisson bootstrap: in each sample every row occurs a Poisson(1) number of times, so that rows need not be kept (Hanley and MacGibbon, 2006). The
    /// interval is that of the percentiles. A sample takes half a kilobyte and, for every row, some tens of nanoseconds.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int BootstrapSamples
    {
        get => _bootstrapSamples;
        init => _bootstrapSamples = value is >= 0 and <= MostBootstrapSamples
            ? value
            : throw new ArgumentOutOfRangeException(nameof(BootstrapSamples), value, $"BootstrapSamples must be from 0 to {MostBootstrapSamples}.");
    }

    /// <summary>The share of bootstrap samples inside an interval, above 0 and below 1.</summary>
    /// <value>The default value is 0.95.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double ConfidenceLevel
    {
        get => _confidenceLevel;
        init => _confidenceLevel = value is > 0 and < 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ConfidenceLevel), value, "ConfidenceLevel must be above 0 and below 1.");
    }

    /// <summary>The seed of the bootstrap: the same rows in the same order with the same seed give the same intervals.</summary>
    /// <value>The default value is 0.</value>
    public int Seed { get; init; } = Defaults.Seed;

    /// <summary>Whether a bad row is an exception that names it; else it is counted, the log says why, and it has no part in the figures.</summary>
    /// <value>The default value is false.</value>
    public bool ThrowOnBadRows { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
