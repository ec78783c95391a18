using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>Exact match and F1 of answers to questions, equal to SQuAD's own evaluation script of version 1.1. Thread-safe.</summary>
/// <remarks>
/// Texts are normalised before they are compared: lower case, ASCII punctuation removed, then the words a, an and the, then white space. What a letter, a
/// word and white space is, is Python's matter: "½" belongs to a word, a combining mark does not. Source: P. Rajpurkar et al., "SQuAD: 100,000+ Questions
/// for Machine Comprehension of Text", 2016.
/// </remarks>
public static class SquadScorer
{
    [ThreadStatic]
    private static Scratch? t_scratch;

    /// <summary>Scores a prediction against the answers of a question.</summary>
    /// <param name="prediction">The text that was generated; may be empty.</param>
    /// <param name="answers">At least one right answer; any may be empty.</param>
    /// <returns>Both scores, each the best over the answers. SQuAD's figures are the means of these over all questions, times 100.</returns>
    /// <exception cref="ArgumentNullException">The prediction or an answer is null.</exception>
    /// <exception cref="ArgumentException">There is no answer.</exception>
    public static SquadScore Score(string prediction, params ReadOnlySpan<string> answers)
    {
        MetricArguments.Check(prediction, answers);
        Scratch scratch = t_scratch ??= new();
        scratch.Tokens.Clear();
        scratch.Read(prediction, scratch.Prediction);
        double exactMatch = 0;
        double f1 = 0;
        foreach (string answer in answers)
        {
            scratch.Read(answer, scratch.Answer);
            ReadOnlySpan<int> predicted = CollectionsMarshal.AsSpan(scratch.Prediction);
            ReadOnlySpan<int> expected = CollectionsMarshal.AsSpan(scratch.Answer);
            if (predicted.SequenceEqual(expected))
                exactMatch = 1;
            f1 = Math.Max(f1, F1(scratch.CountShared(), predicted.Length, expected.Length));
        }

        if (scratch.Capacity > MetricBuffers.LargestKept)
            t_scratch = null;
        return new(exactMatch, f1);
    }

    /// <summary>The text that is compared: its words after normalising, with a space between them.</summary>
    internal static string Normalize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Scratch scratch = new();
        scratch.Read(text, scratch.Prediction);
        return string.Join(' ', scratch.Prediction.Select(id => scratch.Tokens[id].ToString()));
    }

    private static double F1(int shared, int predicted, int expected)
    {
        if (shared == 0)
            return 0;
        double precision = (double)shared / predicted;
        double recall = (double)shared / expected;
        return 2 * precision * recall / (precision + recall);
    }

    private sealed class Scratch
    {
        public readonly TokenTable Tokens = new();
        public readonly List<int> Prediction = [];
        public readonly List<int> Answer = [];
        private readonly List<int> _counts = [];
        private char[] _text = new char[1024];

        public int Capacity => Math.Max(Math.Max(Tokens.Capacity, _text.Length), Math.Max(Prediction.Capacity, Answer.Capacity));

        public void Read(string text, List<int> ids)
        {
            ids.Clear();
            if (_text.Length < 2L * text.Length)
                _text = new char[checked(2 * text.Length)];
            int length = 0;
            foreach (char c in _text.AsSpan(0, PythonText.Lower(text, _text)))
            {
                if (!char.IsAscii(c) || char.IsAsciiLetterOrDigit(c) || c <= ' ' || c == '\u007F')
                    _text[length++] = c;
            }

            // An article is a whole run of word characters, and not always a whole word: in "a\u0301b" the "a" goes.
            ReadOnlySpan<char> lower = _text.AsSpan(0, length);
            for (int i = 0; i < lower.Length;)
            {
                int end = i;
                while (end < lower.Length && PythonText.IsWord(lower, end, out int charLength))
                    end += charLength;
                if (end > i)
                {
                    ReadOnlySpan<char> word = lower[i..end];
                    if (word is "a" or "an" or "the")
                        End(ids);
                    else
                        Append(word);
                    i = end;
                }
                else
                {
                    if (PythonText.IsSpace(lower[i]))
                        End(ids);
                    else
                        Tokens.Append(lower[i]);
                    i++;
                }
            }

            End(ids);
        }

        public int CountShared()
        {
            CollectionsMarshal.SetCount(_counts, Tokens.Count);
            Span<int> counts = CollectionsMarshal.AsSpan(_counts);
            counts.Clear();
            foreach (int id in Prediction)
                counts[id]++;
            int shared = 0;
            foreach (int id in Answer)
            {
                if (counts[id]-- > 0)
                    shared++;
            }

            return shared;
        }

        private void Append(ReadOnlySpan<char> word)
        {
            foreach (char c in word)
                Tokens.Append(c);
        }

        private void End(List<int> ids)
        {
            int length = Tokens.Pending.Length;
            if (length > 0)
                ids.Add(Tokens.Commit(length));
        }
    }
}
