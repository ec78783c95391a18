using System.Collections.ObjectModel;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What an evaluation of generated texts found. A metric that was not asked for, or for which no row could be scored, is null.</summary>
public sealed class TextGenerationMetrics
{
    internal TextGenerationMetrics()
    {
    }

    /// <summary>Rows read.</summary>
    public long RowCount { get; internal init; }

    /// <summary>Rows without a prediction, or without the full model's text where that is asked for.</summary>
    public long MissingPredictionCount { get; internal init; }

    /// <summary>Rows without a reference.</summary>
    public long MissingReferenceCount { get; internal init; }

    /// <summary>Rows whose generation failed, or whose exit layers or operation counts cannot be.</summary>
    public long FailedRowCount { get; internal init; }

    /// <summary>Rows that have no part in the figures.</summary>
    public long BadRowCount => MissingPredictionCount + MissingReferenceCount + FailedRowCount;

    /// <summary>Rows that the figures are made of.</summary>
    public long ScoredRowCount => RowCount - BadRowCount;

    /// <summary>ROUGE: means over rows, in [0, 1].</summary>
    public RougeScores? Rouge { get; internal init; }

    /// <summary>What ROUGE's tokenizer made of the texts; null where ROUGE compared none.</summary>
    public RougeTextStatistics? RougeTexts { get; internal init; }

    /// <summary>SQuAD's exact match: the percentage of rows.</summary>
    public double? ExactMatch { get; internal init; }

    /// <summary>SQuAD's F1: the mean over rows, in percent.</summary>
    public double? F1 { get; internal init; }

    /// <summary>BLEU of all rows together.</summary>
    public BleuScore? Bleu { get; internal init; }

    /// <summary>chrF of all rows together.</summary>
    public ChrfScore? Chrf { get; internal init; }

    /// <summary>How far texts agree with the full model's.</summary>
    public TextAgreement? Agreement { get; internal init; }

    /// <summary>Where tokens exited the decoder.</summary>
    public ExitStatistics? Exits { get; internal init; }

    /// <summary>Floating-point operations of decoding, a row on average.</summary>
    public MeanOperationCounts? Operations { get; internal init; }

    /// <summary>The time that reading the rows took. Rows that are generated when they are read are generated in it; scoring them is not part of it.</summary>
    public TimeSpan ReadingTime { get; internal init; }

    /// <summary>Tokens per second of <see cref="ReadingTime"/>: the speed of the generation where rows are generated when they are read. Null without exit
    /// layers.</summary>
    public double? TokensPerSecond => Exits is { TokenCount: > 0 } exits && ReadingTime > TimeSpan.Zero ? exits.TokenCount / ReadingTime.TotalSeconds : null;

    /// <summary>
    /// The bootstrap interval of every figure, by the path to it from here, such as <c>Rouge.RougeL.FMeasure</c>, <c>F1</c>, <c>Agreement.Exact</c> or
    /// <c>Exits.MeanExitLayer</c>; empty where none was asked for.
    /// </summary>
    public IReadOnlyDictionary<string, ConfidenceInterval> ConfidenceIntervals { get; internal init; } =
        ReadOnlyDictionary<string, ConfidenceInterval>.Empty;

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
