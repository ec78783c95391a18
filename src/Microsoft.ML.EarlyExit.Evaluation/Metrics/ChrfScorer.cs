using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// chrF of a corpus, equal to sacrebleu's default: n-grams of 1 to 6 characters, beta 2, white space removed; with n-grams of 1 and 2 words besides, chrF++.
/// Thread-safe.
/// </summary>
/// <remarks>
/// M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015, and "chrF++: words helping character n-grams", 2017. A character is a
/// Unicode code point; a word is what white space separates, less one mark of ASCII at its end, or else at its start, which is a word of its own. The mean over
/// orders is taken before the F-score, over the orders that both sides have n-grams of.
/// </remarks>
public static class ChrfScorer
{
    /// <summary>The longest n-grams of characters.</summary>
    internal const int CharacterOrders = 6;

    /// <summary>The longest n-grams of words that can be asked for.</summary>
    internal const int MostWordOrders = 2;

    /// <summary>Numbers that rows add up to without words: for each order n-grams of predictions, of references, and matches.</summary>
    internal const int StatisticCount = 3 * CharacterOrders;

    /// <summary>Numbers that rows add up to with all orders of words.</summary>
    internal const int LargestStatisticCount = 3 * (CharacterOrders + MostWordOrders);

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
    /// <param name="wordOrder">The longest n-grams of words that count, 0 to 2: 0, the default, is chrF, 2 is chrF++.</param>
    /// <returns>The score, its parts and its signature.</returns>
    /// <exception cref="ArgumentNullException">An argument, a prediction, a row of references or a reference is null.</exception>
    /// <exception cref="ArgumentException">There are no rows, more rows of one than of the other, or a row without references.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="wordOrder"/> is out of range.</exception>
    public static ChrfScore Score(IEnumerable<string> predictions, IEnumerable<IReadOnlyList<string>> references, int wordOrder = 0)
    {
        if (wordOrder is < 0 or > MostWordOrders)
            throw new ArgumentOutOfRangeException(nameof(wordOrder), wordOrder, $"wordOrder must be from 0 to {MostWordOrders}.");
        (long[] statistics, int? referenceCount) = CorpusStatistics.Sum(predictions, references, 3 * (CharacterOrders + wordOrder), Count);
        return Score(statistics, referenceCount);
    }

    /// <summary>The score, its parts and its signature of rows' numbers added up, each with so many references, null where they differ.</summary>
    internal static ChrfScore Score(ReadOnlySpan<long> statistics, int? referenceCount)
    {
        double score = Score(statistics, out double precision, out double recall);
        return new(score, 100 * precision, 100 * recall, statistics, referenceCount);
    }

    /// <summary>The score, 0 to 100, of a prediction alone, against the reference that is best for it.</summary>
    internal static double ScoreAlone(string prediction, ReadOnlySpan<string> references)
    {
        Span<long> statistics = stackalloc long[StatisticCount];
        Count(prediction, references, statistics);
        return Score(statistics);
    }

    /// <summary>Writes one row's numbers, against the reference that is best for the row alone.</summary>
    /// <param name="prediction">The text that was generated.</param>
    /// <param name="references">The texts it should be like.</param>
    /// <param name="statistics">Three numbers for every order: those of characters, and of words as far as there is room.</param>
    internal static void Count(string prediction, ReadOnlySpan<string> references, Span<long> statistics)
    {
        MetricArguments.Check(prediction, references);
        int wordOrder = (statistics.Length / 3) - CharacterOrders;
        Scratch scratch = t_scratch ??= new();
        scratch.Read(prediction, references, wordOrder);
        Span<int> together = stackalloc int[CharacterOrders];
        int count = references.Length;
        Span<int> alone = scratch.MatchesAlone((CharacterOrders + wordOrder) * count);
        scratch.Characters.Match(scratch.CharacterCount, CharacterOrders, alone[..(CharacterOrders * count)], together);
        scratch.Words.Match(scratch.WordCount, wordOrder, alone[(CharacterOrders * count)..], together[..wordOrder]);

        Span<long> row = stackalloc long[LargestStatisticCount];
        row = row[..statistics.Length];
        double best = -1;
        for (int reference = 0; reference < count; reference++)
        {
            for (int order = 0; order < CharacterOrders + wordOrder; order++)
            {
                NGramMatcher matcher = order < CharacterOrders ? scratch.Characters : scratch.Words;
                int more = order < CharacterOrders ? order : order - CharacterOrders;
                int expected = Math.Max(0, matcher.Length(1 + reference) - more);
                row[3 * order] = expected > 0 ? Math.Max(0, matcher.Length(0) - more) : 0;
                row[3 * order + 1] = expected;
                row[3 * order + 2] = alone[order * count + reference];
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
        for (int order = 0; order < statistics.Length / 3; order++)
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
        private readonly TokenTable _words = new();
        private readonly List<int> _matchesAlone = [];

        public NGramMatcher Characters { get; } = new();

        public NGramMatcher Words { get; } = new();

        public int CharacterCount => _characters.Count;

        public int WordCount => _words.Count;

        public int Capacity => Math.Max(Math.Max(_characters.Capacity, Characters.Capacity), Math.Max(_words.Capacity, Words.Capacity));

        public Span<int> MatchesAlone(int length)
        {
            CollectionsMarshal.SetCount(_matchesAlone, length);
            return CollectionsMarshal.AsSpan(_matchesAlone);
        }

        public void Read(string prediction, ReadOnlySpan<string> references, int wordOrder)
        {
            _characters.Clear();
            _words.Clear();
            Characters.Clear();
            Words.Clear();
            Read(prediction, wordOrder);
            foreach (string reference in references)
                Read(reference, wordOrder);
        }

        private void Read(string text, int wordOrder)
        {
            if (wordOrder > 0)
                ReadWords(text);
            Words.End();
            for (int i = 0; i < text.Length; i++)
            {
                char c = text[i];
                if (PythonText.IsSpace(c))
                    continue;
                bool isPair = char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
                Characters.Add(_characters.Add(0, isPair ? char.ConvertToUtf32(c, text[++i]) : c));
            }

            Characters.End();
        }

        private void ReadWords(ReadOnlySpan<char> text)
        {
            for (int i = 0, end; i < text.Length; i = end + 1)
            {
                end = i;
                while (end < text.Length && !PythonText.IsSpace(text[end]))
                    end++;
                ReadOnlySpan<char> word = text[i..end];
                if (word.IsEmpty)
                    continue;
                int cut = word.Length == 1 ? 0 : IsMark(word[^1]) ? word.Length - 1 : IsMark(word[0]) ? 1 : 0;
                if (cut > 0)
                    Words.Add(_words.Add(word[..cut]));
                Words.Add(_words.Add(word[cut..]));
            }
        }

        // Python's string.punctuation.
        private static bool IsMark(char c) => char.IsAscii(c) && (char.IsPunctuation(c) || char.IsSymbol(c));
    }
}
