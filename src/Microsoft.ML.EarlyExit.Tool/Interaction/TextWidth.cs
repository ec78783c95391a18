using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>How many columns of a terminal a text takes.</summary>
internal static class TextWidth
{
    private const int EmojiPresentation = 0xFE0F;

    /// <summary>Characters of two columns: those that Unicode's East_Asian_Width calls wide or full, in whole blocks.</summary>
    private static readonly (int First, int Last)[] s_wide =
    [
        (0x1100, 0x115F), (0x231A, 0x231B), (0x23E9, 0x23EC), (0x25FD, 0x25FE), (0x2614, 0x2615), (0x2648, 0x2653), (0x26AA, 0x26AB), (0x26BD, 0x26BE),
        (0x26C4, 0x26C5), (0x2E80, 0x303E), (0x3041, 0x4DBF), (0x4E00, 0xA4CF), (0xA960, 0xA97F), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE30, 0xFE6F),
        (0xFF01, 0xFF60), (0xFFE0, 0xFFE6), (0x17000, 0x18CFF), (0x1B000, 0x1B2FF), (0x1F200, 0x1F265), (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF),
        (0x1F7E0, 0x1F7EB), (0x1F900, 0x1F9FF), (0x1FA70, 0x1FAFF), (0x20000, 0x3FFFD),
    ];

    /// <summary>The columns of what is read as one character: a letter with its marks, an emoji of several.</summary>
    public static int Of(ReadOnlySpan<char> element)
    {
        bool isFirst = true;
        int width = 0;
        foreach (Rune rune in element.EnumerateRunes())
        {
            if (isFirst)
                width = Of(rune);
            else if (rune.Value == EmojiPresentation)
                width = 2;
            isFirst = false;
        }

        return width;
    }

    private static int Of(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format or UnicodeCategory.Control => 0,
        _ => Array.Exists(s_wide, block => rune.Value >= block.First && rune.Value <= block.Last) ? 2 : 1,
    };
}
