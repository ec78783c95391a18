using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// BLEU of a corpus, equal to sacrebleu's: n-grams of up to four tokens, exponential smoothing; by default, as there, its tokens "13a" and mixed case.
/// Thread-safe.
/// </summary>
/// <remarks>
/// K. Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002; M. Post, "A Call for Clarity in Reporting BLEU Scores", 2018.
/// BLEU is a measure of a whole corpus: it is no mean over rows, and of a single short text it is mostly 0.
/// </remarks>
public static class BleuScorer
{
    /// <summary>Numbers that rows add up to: length of predictions, length of references, matches of order 1 to 4, n-grams of order 1 to 4.</summary>
    internal const int StatisticCount = 2 + 2 * Orders;

    private const int Orders = 4;

    [ThreadStatic]
    private static Scratch? t_scratch;

    /// <summary>Scores a corpus. Texts are read one row at a time and not kept.</summary>
    /// <param name="predictions">The texts that were generated; any may be empty.</param>
    /// <param name="references">For each prediction, in the same order, at least one text it should be like; rows may have different numbers of them.</param>
    /// <param name="tokenizer">What tokens are: by default sacrebleu's "13a", for texts in Western languages.</param>
    /// <param name="lowercase">Whether texts are compared in lower case; not so by default.</param>
    /// <returns>The score, its parts and its signature.</returns>
    /// <exception cref="ArgumentNullException">An argument, a prediction, a row of references or a reference is null.</exception>
    /// <exception cref="ArgumentException">There are no rows, more rows of one than of the other, or a row without references.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="tokenizer"/> is none of the enumeration's.</exception>
    public static BleuScore Score(
        IEnumerable<string> predictions, IEnumerable<IReadOnlyList<string>> references, BleuTokenizer tokenizer = BleuTokenizer.V13a, bool lowercase = false)
    {
        if (!Enum.IsDefined(tokenizer))
            throw new ArgumentOutOfRangeException(nameof(tokenizer), tokenizer, "The tokenizer is no BleuTokenizer.");
        (long[] statistics, int? referenceCount) = CorpusStatistics.Sum(
            predictions, references, StatisticCount, (prediction, texts, row) => Count(prediction, texts, row, tokenizer, lowercase));
        return Score(statistics, referenceCount, tokenizer, lowercase);
    }

    /// <summary>The tokenizers by the names that sacrebleu and the tool have for them.</summary>
    internal static IReadOnlyList<(string Name, BleuTokenizer Value)> Tokenizers { get; } =
        [("13a", BleuTokenizer.V13a), ("intl", BleuTokenizer.Intl), ("zh", BleuTokenizer.Zh), ("char", BleuTokenizer.Char), ("none", BleuTokenizer.None)];

    /// <summary>What sacrebleu and the tool call a tokenizer.</summary>
    internal static string Name(BleuTokenizer tokenizer) => Tokenizers.First(pair => pair.Value == tokenizer).Name;

    /// <summary>The score, its parts and its signature of rows' numbers added up, each with so many references, null where they differ.</summary>
    internal static BleuScore Score(ReadOnlySpan<long> statistics, int? referenceCount, BleuTokenizer tokenizer, bool lowercase)
    {
        double[] precisions = new double[Orders];
        double score = Score(statistics, precisions, out double brevityPenalty);
        return new(score, precisions, statistics, brevityPenalty, referenceCount, tokenizer, lowercase);
    }

    /// <summary>Writes one row's numbers.</summary>
    internal static void Count(
        string prediction, ReadOnlySpan<string> references, Span<long> statistics, BleuTokenizer tokenizer = BleuTokenizer.V13a, bool lowercase = false)
    {
        MetricArguments.Check(prediction, references);
        Scratch scratch = t_scratch ??= new();
        scratch.Read(prediction, references, tokenizer, lowercase);
        NGramMatcher matcher = scratch.Matcher;
        int length = matcher.Length(0);
        int closest = matcher.Length(1);
        for (int text = 2; text <= references.Length; text++)
        {
            int other = matcher.Length(text);
            int difference = Math.Abs(other - length) - Math.Abs(closest - length);
            if (difference < 0 || (difference == 0 && other < closest))
                closest = other;
        }

        Span<int> matches = stackalloc int[Orders];
        matcher.Match(scratch.TokenCount, Orders, scratch.MatchesAlone(Orders * references.Length), matches);
        statistics[0] = length;
        statistics[1] = closest;
        for (int order = 0; order < Orders; order++)
        {
            statistics[2 + order] = matches[order];
            statistics[2 + Orders + order] = Math.Max(0, length - order);
        }

        if (scratch.Capacity > MetricBuffers.LargestKept)
            t_scratch = null;
    }

    /// <summary>The score, 0 to 100, of rows' numbers added up.</summary>
    internal static double Score(ReadOnlySpan<long> statistics)
    {
        Span<double> precisions = stackalloc double[Orders];
        return Score(statistics, precisions, out _);
    }

    private static double Score(ReadOnlySpan<long> statistics, Span<double> precisions, out double brevityPenalty)
    {
        (long length, long referenceLength) = (statistics[0], statistics[1]);
        brevityPenalty = length >= referenceLength ? 1 : length > 0 ? Math.Exp(1 - (double)referenceLength / length) : 0;
        precisions.Clear();
        ReadOnlySpan<long> matches = statistics.Slice(2, Orders);
        ReadOnlySpan<long> totals = statistics.Slice(2 + Orders, Orders);
        if (!matches.ContainsAnyExcept(0))
            return 0;
        double smoothing = 1;
        double logarithms = 0;
        for (int order = 0; order < Orders; order++)
        {
            // No text is long enough for this order: without a precision the geometric mean is 0.
            if (totals[order] == 0)
                return 0;
            precisions[order] = matches[order] > 0
                ? 100.0 * matches[order] / totals[order]
                : 100.0 / ((smoothing *= 2) * totals[order]);
            logarithms += Math.Log(precisions[order]);
        }

        return brevityPenalty * Math.Exp(logarithms / Orders);
    }

    /// <summary>Buffers of one thread.</summary>
    private sealed class Scratch
    {
        private readonly BleuTokens _tokenizer = new();
        private readonly TokenTable _tokens = new();
        private readonly List<int> _matchesAlone = [];

        public NGramMatcher Matcher { get; } = new();

        public int TokenCount => _tokens.Count;

        public int Capacity => Math.Max(Math.Max(_tokenizer.Capacity, _tokens.Capacity), Matcher.Capacity);

        public Span<int> MatchesAlone(int length)
        {
            CollectionsMarshal.SetCount(_matchesAlone, length);
            return CollectionsMarshal.AsSpan(_matchesAlone);
        }

        public void Read(string prediction, ReadOnlySpan<string> references, BleuTokenizer tokenizer, bool lowercase)
        {
            _tokens.Clear();
            Matcher.Clear();
            Read(prediction, tokenizer, lowercase);
            foreach (string reference in references)
                Read(reference, tokenizer, lowercase);
        }

        private void Read(string text, BleuTokenizer tokenizer, bool lowercase)
        {
            ReadOnlySpan<char> tokens = _tokenizer.Tokenize(text, tokenizer, lowercase);
            for (int i = 0; i < tokens.Length;)
            {
                int end = i;
                while (end < tokens.Length && !PythonText.IsSpace(tokens[end]))
                    end++;
                if (end > i)
                    Matcher.Add(_tokens.Add(tokens[i..end]));
                i = end + 1;
            }

            Matcher.End();
        }
    }
}
