namespace Microsoft.ML.EarlyExit;

/// <summary>ROUGE as rouge_score computes it. Immutable and thread-safe.</summary>
internal sealed class RougeScorer(bool useStemmer = false, ReferenceAggregation aggregation = ReferenceAggregation.Best)
{
    public RougeScores Score(string prediction, params ReadOnlySpan<string> references) => throw new NotImplementedException($"{useStemmer} {aggregation}");
}
