namespace Microsoft.ML.EarlyExit;

/// <summary>ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum, equal to the Python package rouge_score 0.1.2. Immutable and thread-safe.</summary>
/// <remarks>
/// <para>
/// Words are runs of the letters a to z and digits after lower-casing; everything else separates them, so that "café" is the word "caf": of texts in other
/// scripts nothing is left, and their scores are 0. Source: C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.
/// </para>
/// <para>
/// ROUGE-L and ROUGE-Lsum take time that grows with the product of the two texts' lengths, a 64th of it each step; memory stays far below.
/// </para>
/// </remarks>
public sealed class RougeScorer
{
    [ThreadStatic]
    private static RougeScratch? t_scratch;

    private readonly bool _useStemmer;
    private readonly ReferenceAggregation _aggregation;

    /// <summary>Makes a scorer.</summary>
    /// <param name="useStemmer">
    /// Whether words of more than three letters are compared by their stem, as NLTK's PorterStemmer has it in its default mode. False by default, as in rouge_score.
    /// </param>
    /// <param name="aggregation">What is made of the scores against several references: by default the best of each type.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="aggregation"/> is none of the enumeration's.</exception>
    public RougeScorer(bool useStemmer = false, ReferenceAggregation aggregation = ReferenceAggregation.Best)
    {
        if (!Enum.IsDefined(aggregation))
            throw new ArgumentOutOfRangeException(nameof(aggregation), aggregation, "The aggregation is neither Best nor Average.");
        _useStemmer = useStemmer;
        _aggregation = aggregation;
    }

    /// <summary>Scores a prediction against one reference or several.</summary>
    /// <param name="prediction">The text that was generated; may be empty.</param>
    /// <param name="references">At least one text it should be like; any may be empty.</param>
    /// <returns>Precision, recall and F-measure of each type; all 0 where a text has no words.</returns>
    /// <exception cref="ArgumentNullException">The prediction or a reference is null.</exception>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public RougeScores Score(string prediction, params ReadOnlySpan<string> references)
    {
        MetricArguments.Check(prediction, references);
        RougeScratch scratch = t_scratch ??= new();
        scratch.ReadPrediction(prediction, _useStemmer);
        RougeScores scores = scratch.ScoreAgainst(references[0], _useStemmer);
        for (int i = 1; i < references.Length; i++)
        {
            RougeScores next = scratch.ScoreAgainst(references[i], _useStemmer);
            scores = new(
                Combine(scores.Rouge1, next.Rouge1), Combine(scores.Rouge2, next.Rouge2),
                Combine(scores.RougeL, next.RougeL), Combine(scores.RougeLsum, next.RougeLsum));
        }

        if (scratch.Capacity > MetricBuffers.LargestKept)
            t_scratch = null;
        if (_aggregation == ReferenceAggregation.Best || references.Length == 1)
            return scores;
        int count = references.Length;
        return new(Divide(scores.Rouge1, count), Divide(scores.Rouge2, count), Divide(scores.RougeL, count), Divide(scores.RougeLsum, count));
    }

    private RougeScore Combine(RougeScore one, RougeScore other) => _aggregation == ReferenceAggregation.Average
        ? new(one.Precision + other.Precision, one.Recall + other.Recall, one.FMeasure + other.FMeasure)
        : other.FMeasure > one.FMeasure ? other : one;

    private static RougeScore Divide(RougeScore sum, int count) => new(sum.Precision / count, sum.Recall / count, sum.FMeasure / count);
}
