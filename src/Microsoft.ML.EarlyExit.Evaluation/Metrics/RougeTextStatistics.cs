using System.Globalization;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What ROUGE's tokenizer made of the texts that were scored: predictions, references and, where they are compared, the full model's texts.</summary>
public readonly record struct RougeTextStatistics
{
    internal RougeTextStatistics(long letterCount, long droppedLetterCount, int mostLines)
    {
        LetterCount = letterCount;
        DroppedLetterCount = droppedLetterCount;
        MostLines = mostLines;
    }

    /// <summary>Letters of all texts. Digits other than 0 to 9 count as letters: a text of them alone vanishes just so.</summary>
    public long LetterCount { get; }

    /// <summary>Those of them that belong to no word, and so have no part in a score; 0 with <see cref="RougeTokenizer.Unicode"/>.</summary>
    public long DroppedLetterCount { get; }

    /// <summary>The lines of the text that has most, or its sentences where they are split; lines of white space alone are none. Where it is 1 or less,
    /// ROUGE-Lsum is ROUGE-L.</summary>
    public int MostLines { get; }

    /// <summary>The share of letters that were dropped, in [0, 1]; 0 where there are no letters.</summary>
    public double DroppedShare => LetterCount == 0 ? 0 : (double)DroppedLetterCount / LetterCount;

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>Whether more than 1 % of the letters were dropped: what is left says little of the texts.</summary>
    internal bool DropsTooMuch => 100 * DroppedLetterCount > LetterCount;

    /// <summary>What was dropped, in words.</summary>
    internal string DescribeDropped() => string.Create(
        CultureInfo.InvariantCulture,
        $"ROUGE's tokenizer, which knows the letters a to z only, drops {DroppedLetterCount} of {LetterCount} letters ({100 * DroppedShare:0.#} %)");

    /// <summary>These and those of one more text.</summary>
    internal RougeTextStatistics Add(string text, in RougeRules rules)
    {
        (long letters, long dropped) = (LetterCount, DroppedLetterCount);
        for (int i = 0; i < text.Length;)
        {
            char c = text[i];
            if (c < 0x80)
            {
                letters += char.IsAsciiLetter(c) ? 1 : 0;
                i++;
                continue;
            }

            UnicodeWords.Part part = UnicodeWords.Of(text, i, out _, out int length);
            i += length;
            if (part is not (UnicodeWords.Part.Letter or UnicodeWords.Part.Alone))
                continue;
            letters++;
            if (rules.Tokenizer == RougeTokenizer.Rouge && c is not (PythonText.KelvinSign or PythonText.CapitalIWithDot))
                dropped++;
        }

        return new(letters, dropped, Math.Max(MostLines, CountLines(text, rules.SplitSentences)));
    }

    private static int CountLines(ReadOnlySpan<char> text, bool splitSentences)
    {
        int lines = 0;
        while (!text.IsEmpty)
        {
            int length = splitSentences ? Sentences.FirstLength(text) : text.Length;
            foreach (Range line in text[..length].Split('\n'))
                lines += text[line].IsWhiteSpace() ? 0 : 1;
            text = text[length..];
        }

        return lines;
    }
}
