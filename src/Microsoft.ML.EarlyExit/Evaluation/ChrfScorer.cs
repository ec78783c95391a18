using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// chrF of a corpus, equal to sacrebleu's default: n-grams of 1 to 6 characters, no words, beta 2, white space removed. Thread-safe.
/// </summary>
/// <remarks>
/// M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015. A character is a Unicode code point. The mean over orders is taken before
/// the F-score, over the orders that both sides have n-grams of.
/// </remarks>
public static class ChrfScorer
{
    /// <summary>Numbers that rows add up to: for each order n-grams of predictions, of references, and matches.</summary>
    internal const int StatisticCount = 3 * Orders;

    private const int Orders = 6;

    // Beta squared.
    private const double RecallWeight = 4;

    [ThreadStatic]
    private static Scratch? t_scratch;

    /// <summary>Scores a corpus. Texts are read one row at a time and not kept.</summary>
    /// <param name="predictions">The texts that were generated; any may be empty.</param>
    /// <param name="references">
    /// For each prediction, in the same order, at least one text it should be like; rows may have different numbers of them. The one that is best for the row
    /// alone counts, the first of equal ones.
    /// </param>
    /// <returns>The score, its parts and its signature.</returns>
    /// <exception cref="ArgumentNullException">An argument, a prediction, a row of references or a reference is null.</exception>
    /// <exception cref="ArgumentException">There are no rows, more rows of one than of the other, or a row without references.</exception>
    public static ChrfScore Score(IEnumerable<string> predictions, IEnumerable<IReadOnlyList<string>> references)
    {
        (long[] statistics, int? referenceCount) = CorpusStatistics.Sum(predictions, references, StatisticCount, Count);
        return Score(statistics, referenceCount);
    }

    /// <summary>The score, its parts and its signature of rows' numbers added up, each with so many references, null where they differ.</summary>
    internal static ChrfScore Score(ReadOnlySpan<long> statistics, int? referenceCount)
    {
        double score = Score(statistics, out double precision, out double recall);
        return new(score, 100 * precision, 100 * recall, statistics, referenceCount);
    }

    /// <summary>Writes one row's numbers, against the reference that is best for the row alone.</summary>
    internal static void Count(string prediction, ReadOnlySpan<string> references, Span<long> statistics)
    {
        MetricArguments.Check(prediction, references);
        Scratch scratch = t_scratch ??= new();
        scratch.Read(prediction, references);
        NGramMatcher matcher = scratch.Matcher;
        Span<int> together = stackalloc int[Orders];
        Span<int> alone = scratch.MatchesAlone(Orders * references.Length);
        matcher.Match(scratch.CharacterCount, Orders, alone, together);

        Span<long> row = stackalloc long[StatisticCount];
        double best = -1;
        for (int reference = 0; reference < references.Length; reference++)
        {
            for (int order = 0; order < Orders; order++)
            {
                int expected = Math.Max(0, matcher.Length(1 + reference) - order);
                row[3 * order] = expected > 0 ? Math.Max(0, matcher.Length(0) - order) : 0;
                row[3 * order + 1] = expected;
                row[3 * order + 2] = alone[order * references.Length + reference];
            }

            double score = Score(row);
            if (score > best)
            {
                best = score;
                row.CopyTo(statistics);
            }
        }

        if (scratch.Capacity > MetricBuffers.LargestKept)
            t_scratch = null;
    }

    /// <summary>The score, 0 to 100, of rows' numbers added up.</summary>
    internal static double Score(ReadOnlySpan<long> statistics) => Score(statistics, out _, out _);

    private static double Score(ReadOnlySpan<long> statistics, out double precision, out double recall)
    {
        precision = 0;
        recall = 0;
        int orders = 0;
        for (int order = 0; order < Orders; order++)
        {
            (long predicted, long expected, long matches) = (statistics[3 * order], statistics[3 * order + 1], statistics[3 * order + 2]);
            if (predicted == 0 || expected == 0)
                continue;
            precision += (double)matches / predicted;
            recall += (double)matches / expected;
            orders++;
        }

        if (precision + recall == 0)
            return 0;
        precision /= orders;
        recall /= orders;
        return 100 * ((1 + RecallWeight) * precision * recall / (RecallWeight * precision + recall));
    }

    /// <summary>Buffers of one thread.</summary>
    private sealed class Scratch
    {
        private readonly PairTable _characters = new();
        private readonly List<int> _matchesAlone = [];

        public NGramMatcher Matcher { get; } = new();

        public int CharacterCount => _characters.Count;

        public int Capacity => Math.Max(_characters.Capacity, Matcher.Capacity);

        public Span<int> MatchesAlone(int length)
        {
            CollectionsMarshal.SetCount(_matchesAlone, length);
            return CollectionsMarshal.AsSpan(_matchesAlone);
        }

        public void Read(string prediction, ReadOnlySpan<string> references)
        {
            _characters.Clear();
            Matcher.Clear();
            Read(prediction);
            foreach (string reference in references)
                Read(reference);
        }

        private void Read(string text)
        {
            for (int i = 0; i < text.Length; i++)
            {
                char c = text[i];
                if (PythonText.IsSpace(c))
                    continue;
                bool isPair = char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
                Matcher.Add(_characters.Add(0, isPair ? char.ConvertToUtf32(c, text[++i]) : c));
            }

            Matcher.End();
        }
    }
}
