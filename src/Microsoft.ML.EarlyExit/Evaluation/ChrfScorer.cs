namespace Microsoft.ML.EarlyExit;

/// <summary>Corpus chrF as sacrebleu's default: character orders 1 to 6, no words, beta 2, white space removed.</summary>
internal static class ChrfScorer
{
    /// <summary>Numbers that rows add up to: for each order n-grams of predictions, of references, and matches.</summary>
    public const int StatisticCount = 18;

    /// <summary>Writes one row's numbers, against the reference that is best for the row alone.</summary>
    public static void Count(string prediction, ReadOnlySpan<string> references, Span<long> statistics) => throw new NotImplementedException();

    /// <summary>The score, 0 to 100, of rows' numbers added up.</summary>
    public static double Score(ReadOnlySpan<long> statistics) => throw new NotImplementedException();
}
