namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Scores single rows. Immutable and thread-safe.</summary>
/// <param name="metrics">What compares predictions with references.</param>
/// <param name="rouge">ROUGE, also of what is compared with the full model's texts.</param>
internal sealed class RowScorer(EvaluationMetrics metrics, RougeScorer rouge)
{
    /// <summary>Whether rows have the full model's text.</summary>
    public bool HasFullDepth { get; init; }

    /// <summary>Whether rows have exit layers.</summary>
    public bool HasExitLayers { get; init; }

    /// <summary>Whether rows have operation counts.</summary>
    public bool HasOperations { get; init; }

    /// <summary>What tokens are to BLEU.</summary>
    public BleuTokenizer BleuTokenizer { get; init; }

    /// <summary>Whether BLEU compares texts in lower case.</summary>
    public bool BleuLowercase { get; init; }

    /// <summary>The longest n-grams of words that chrF counts.</summary>
    public int ChrfWordOrder { get; init; }

    /// <summary>How ROUGE cuts texts; null where it scores none.</summary>
    public RougeRules? RougeRules => Has(EvaluationMetrics.Rouge) || HasFullDepth ? rouge.Rules : null;

    /// <summary>Numbers that chrF makes of a row.</summary>
    public int ChrfStatisticCount => 3 * (ChrfScorer.CharacterOrders + ChrfWordOrder);

    /// <summary>Whether a metric is asked for.</summary>
    public bool Has(EvaluationMetrics metric) => (metrics & metric) != 0;

    /// <summary>Scores a row.</summary>
    public RowScores Score(string prediction, ReadOnlySpan<string> references, string fullDepth, CancellationToken cancellationToken)
    {
        var scores = default(RowScores);
        if (Has(EvaluationMetrics.Rouge))
            scores.Rouge = rouge.Score(prediction, references, cancellationToken);
        if (Has(EvaluationMetrics.Squad))
            scores.Squad = SquadScorer.Score(prediction, references);
        if (HasFullDepth)
        {
            scores.AgreementExact = prediction == fullDepth ? 1 : 0;
            scores.AgreementRougeL = rouge.Score(prediction, [fullDepth], cancellationToken).RougeL.FMeasure;
            scores.AgreementF1 = SquadScorer.Score(prediction, fullDepth).F1;
        }

        return scores;
    }

    /// <summary>Writes the numbers that a row adds to the totals, but those of its exits.</summary>
    public void Count(in RowScores scores, string prediction, ReadOnlySpan<string> references, Span<double> numbers)
    {
        numbers.Clear();
        numbers[EvaluationTotals.Rows] = 1;
        Write(scores.Rouge.Rouge1, numbers[EvaluationTotals.Rouge..]);
        Write(scores.Rouge.Rouge2, numbers[(EvaluationTotals.Rouge + 3)..]);
        Write(scores.Rouge.RougeL, numbers[(EvaluationTotals.Rouge + 6)..]);
        Write(scores.Rouge.RougeLsum, numbers[(EvaluationTotals.Rouge + 9)..]);
        numbers[EvaluationTotals.ExactMatch] = scores.Squad.ExactMatch;
        numbers[EvaluationTotals.F1] = scores.Squad.F1;
        numbers[EvaluationTotals.Agreement] = scores.AgreementExact;
        numbers[EvaluationTotals.Agreement + 1] = scores.AgreementRougeL;
        numbers[EvaluationTotals.Agreement + 2] = scores.AgreementF1;
        Span<long> whole = stackalloc long[Math.Max(BleuScorer.StatisticCount, ChrfScorer.LargestStatisticCount)];
        if (Has(EvaluationMetrics.Bleu))
        {
            BleuScorer.Count(prediction, references, whole[..BleuScorer.StatisticCount], BleuTokenizer, BleuLowercase);
            Copy(whole[..BleuScorer.StatisticCount], numbers[EvaluationTotals.Bleu..]);
        }

        if (Has(EvaluationMetrics.Chrf))
        {
            ChrfScorer.Count(prediction, references, whole[..ChrfStatisticCount]);
            Copy(whole[..ChrfStatisticCount], numbers[EvaluationTotals.Chrf..]);
        }
    }

    private static void Write(RougeScore score, Span<double> numbers) => (numbers[0], numbers[1], numbers[2]) = (score.Precision, score.Recall, score.FMeasure);

    private static void Copy(ReadOnlySpan<long> whole, Span<double> numbers)
    {
        for (int index = 0; index < whole.Length; index++)
            numbers[index] = whole[index];
    }
}
