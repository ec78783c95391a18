using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>The characters of <see cref="RougeTokenizer.Unicode"/>.</summary>
internal static class UnicodeWords
{
    private const int ZeroWidthNonJoiner = 0x200C;
    private const int ZeroWidthJoiner = 0x200D;
    private const int FinalSigma = 0x03C2;
    private const int SmallSigma = 0x03C3;

    /// <summary>What a character is to words.</summary>
    public enum Part
    {
        /// <summary>It separates them.</summary>
        None,

        /// <summary>It makes a word with its neighbours.</summary>
        Letter,

        /// <summary>It is a word by itself.</summary>
        Alone,

        /// <summary>It belongs to the character before it, if that one belongs to a word.</summary>
        Mark,

        /// <summary>It has no part in them, and does not separate them.</summary>
        Ignored,
    }

    /// <summary>What the character at a place is, its code point (a half surrogate pair's own value), and how many chars it takes.</summary>
    public static Part Of(ReadOnlySpan<char> text, int place, out int code, out int length)
    {
        UnicodeCategory category = PythonText.Category(text, place, out length);
        code = length == 2 ? char.ConvertToUtf32(text[place], text[place + 1]) : text[place];
        return category switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter
                or UnicodeCategory.OtherLetter or UnicodeCategory.LetterNumber => IsWrittenWithoutSpaces(code) ? Part.Alone : Part.Letter,
            UnicodeCategory.DecimalDigitNumber => Part.Letter,
            UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => Part.Mark,
            _ => code is ZeroWidthNonJoiner or ZeroWidthJoiner ? Part.Ignored : Part.None,
        };
    }

    /// <summary>A letter in lower case, without regard to its neighbours.</summary>
    public static Rune Lower(int code) => code switch
    {
        PythonText.CapitalIWithDot => new Rune('i'),
        PythonText.KelvinSign => new Rune('k'),
        FinalSigma => new Rune(SmallSigma),
        _ => Rune.ToLowerInvariant(new Rune(code)),
    };

    /// <summary>Whether a letter is Chinese, Japanese or Thai.</summary>
    public static bool IsWrittenWithoutSpaces(int code) => code is
        (>= 0x0E00 and <= 0x0E7F) // Thai
        or (>= 0x3005 and <= 0x303C) // signs of repetition, 〇, Hangzhou numerals
        or (>= 0x3040 and <= 0x30FF) or (>= 0x31F0 and <= 0x31FF) or (>= 0xFF66 and <= 0xFF9F) or (>= 0x1AFF0 and <= 0x1B16F) // kana
        or (>= 0x3400 and <= 0x4DBF) or (>= 0x4E00 and <= 0x9FFF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x20000 and <= 0x3FFFF); // Chinese characters
}
