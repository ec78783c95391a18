namespace Microsoft.ML.EarlyExit;

/// <summary>Corpus BLEU as sacrebleu's default: 13a tokens, mixed case, four orders, exponential smoothing.</summary>
internal static class BleuScorer
{
    /// <summary>Numbers that rows add up to: length of predictions, length of references, matches of order 1 to 4, n-grams of order 1 to 4.</summary>
    public const int StatisticCount = 10;

    /// <summary>Writes one row's numbers.</summary>
    public static void Count(string prediction, ReadOnlySpan<string> references, Span<long> statistics) => throw new NotImplementedException();

    /// <summary>The score, 0 to 100, of rows' numbers added up.</summary>
    public static double Score(ReadOnlySpan<long> statistics) => throw new NotImplementedException();
}
