using System.Globalization;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Where sentences end, by punctuation alone: no language is known, and no abbreviation.</summary>
/// <remarks>
/// A sentence ends behind one of <c>. ! ? … ‼ ⁇ ⁈ ⁉ ؟ ۔ । ॥ ։ ።</c>, or several, with the quotation marks and closing brackets behind it, where white space and
/// then no lower-case letter follows; not behind a single full stop after a single letter (an initial). It ends behind <c>。 ！ ？ ｡</c> and what closes behind
/// them whatever follows.
/// </remarks>
internal static class Sentences
{
    /// <summary>The length of a text's first sentence, with what ends it; the text's where there is but one.</summary>
    public static int FirstLength(ReadOnlySpan<char> text)
    {
        for (int i = 0; i < text.Length;)
        {
            if (!IsEnd(text[i]))
            {
                i++;
                continue;
            }

            int first = i;
            bool needsSpace = true;
            for (; i < text.Length && IsEnd(text[i]); i++)
                needsSpace &= !IsWide(text[i]);
            bool isInitial = text[first] == '.' && i == first + 1 && IsSingleLetter(text[..first]);
            while (i < text.Length && Closes(text[i], needsSpace))
                i++;
            if (!needsSpace || (!isInitial && IsBeforeSentence(text[i..])))
                return i;
        }

        return text.Length;
    }

    private static bool IsEnd(char c) => c is '.' or '!' or '?' or '…' or '‼' or '⁇' or '⁈' or '⁉' or '؟' or '۔' or '।' or '॥' or '։' or '።' || IsWide(c);

    private static bool IsWide(char c) => c is '。' or '！' or '？' or '｡';

    // “ opens in one language and closes in another; with a space behind it, it closes.
    private static bool Closes(char c, bool needsSpace) => c is '"' or '\'' || CharUnicodeInfo.GetUnicodeCategory(c) switch
    {
        UnicodeCategory.ClosePunctuation or UnicodeCategory.FinalQuotePunctuation => true,
        UnicodeCategory.InitialQuotePunctuation => needsSpace,
        _ => false,
    };

    private static bool IsBeforeSentence(ReadOnlySpan<char> rest)
    {
        int next = 0;
        while (next < rest.Length && PythonText.IsSpace(rest[next]))
            next++;
        return next > 0 && (next == rest.Length || PythonText.Category(rest, next, out _) != UnicodeCategory.LowercaseLetter);
    }

    private static bool IsSingleLetter(ReadOnlySpan<char> before) =>
        before.Length > 0 && char.IsLetter(before[^1]) && (before.Length == 1 || !char.IsLetterOrDigit(before[^2]));
}
