using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Rules of Python's strings, which the published metrics rely on and .NET's differ from.</summary>
internal static class PythonText
{
    /// <summary>U+212A, whose lower case is an ASCII "k".</summary>
    public const char KelvinSign = '\u212A';

    /// <summary>U+0130, whose lower case is "i" and U+0307.</summary>
    public const char CapitalIWithDot = '\u0130';

    /// <summary>U+0307, the combining dot above.</summary>
    public const char DotAbove = '\u0307';

    private const char CapitalSigma = '\u03A3';
    private const char SmallSigma = '\u03C3';
    private const char FinalSigma = '\u03C2';

    /// <summary><c>str.lower</c>.</summary>
    public static string Lower(string text)
    {
        char[] result = new char[2 * text.Length];
        return new string(result, 0, Lower(text, result));
    }

    /// <summary><c>str.lower</c> into a buffer of at least twice the text's length; returns how much of it was written.</summary>
    public static int Lower(ReadOnlySpan<char> text, Span<char> result)
    {
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c < 0x80)
            {
                result[length++] = char.IsAsciiLetterUpper(c) ? (char)(c | 0x20) : c;
                continue;
            }

            switch (c)
            {
                case CapitalIWithDot:
                    result[length++] = 'i';
                    result[length++] = DotAbove;
                    break;
                case KelvinSign:
                    result[length++] = 'k';
                    break;
                case CapitalSigma:
                    result[length++] = IsFinal(text, i) ? FinalSigma : SmallSigma;
                    break;
                default:
                    if (char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
                        length += Rune.ToLowerInvariant(new Rune(c, text[++i])).EncodeToUtf16(result[length..]);
                    else
                        result[length++] = char.ToLowerInvariant(c);
                    break;
            }
        }

        return length;
    }

    /// <summary><c>str.isspace</c> of one character: where <c>str.split</c> splits and what <c>str.rstrip</c> removes.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';

    /// <summary>The text without the white space at its end, as <c>str.rstrip</c>.</summary>
    public static ReadOnlySpan<char> TrimEnd(ReadOnlySpan<char> text)
    {
        int length = text.Length;
        while (length > 0 && IsSpace(text[length - 1]))
            length--;
        return text[..length];
    }

    /// <summary>The text without the white space at its start, as <c>str.lstrip</c>.</summary>
    public static ReadOnlySpan<char> TrimStart(ReadOnlySpan<char> text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start]))
            start++;
        return text[start..];
    }

    /// <summary>Whether the character at a place belongs to <c>\w</c>, and how many chars it takes.</summary>
    public static bool IsWord(ReadOnlySpan<char> text, int place, out int length)
    {
        char c = text[place];
        length = 1;
        return c < 0x80 ? char.IsAsciiLetterOrDigit(c) || c == '_' : Category(text, place, out length) is
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter or
            UnicodeCategory.OtherLetter or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;
    }

    // A sigma ends a word where a cased letter comes before it and none after, looking through what has no case of its own.
    private static bool IsFinal(ReadOnlySpan<char> text, int sigma)
    {
        int before = sigma - 1;
        while (before >= 0 && IsCaseIgnorable(text, Start(text, before)))
            before = Start(text, before) - 1;
        if (before < 0 || !IsCased(text, Start(text, before)))
            return false;

        int after = sigma + 1;
        while (after < text.Length && IsCaseIgnorable(text, after))
            after += char.IsSurrogate(text[after]) ? 2 : 1;
        return after >= text.Length || !IsCased(text, after);
    }

    private static int Start(ReadOnlySpan<char> text, int place) =>
        place > 0 && char.IsLowSurrogate(text[place]) && char.IsHighSurrogate(text[place - 1]) ? place - 1 : place;

    // Unicode's Case_Ignorable.
    private static bool IsCaseIgnorable(ReadOnlySpan<char> text, int place) =>
        text[place] is '\'' or '.' or ':' or '\u00B7' or '\u0387' or '\u055F' or '\u05F4' or '\u2018' or '\u2019' or '\u2024' or '\u2027'
            or '\uFE13' or '\uFE52' or '\uFE55' or '\uFF07' or '\uFF0E' or '\uFF1A' ||
        Category(text, place, out _) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format
            or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol;

    // Unicode's Cased, of characters that are not Case_Ignorable.
    private static bool IsCased(ReadOnlySpan<char> text, int place)
    {
        UnicodeCategory category = Category(text, place, out int length);
        if (category is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter)
            return true;
        int code = length == 2 ? char.ConvertToUtf32(text[place], text[place + 1]) : text[place];
        return code is 0xAA or 0xBA or (>= 0x2160 and <= 0x217F) or (>= 0x24B6 and <= 0x24E9)
            or (>= 0x1F130 and <= 0x1F149) or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189);
    }

    /// <summary>The category of the character at a place, and how many chars it takes.</summary>
    public static UnicodeCategory Category(ReadOnlySpan<char> text, int place, out int length)
    {
        char c = text[place];
        if (char.IsHighSurrogate(c) && place + 1 < text.Length && char.IsLowSurrogate(text[place + 1]))
        {
            length = 2;
            return CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(c, text[place + 1]));
        }

        length = 1;
        return CharUnicodeInfo.GetUnicodeCategory(c);
    }
}
