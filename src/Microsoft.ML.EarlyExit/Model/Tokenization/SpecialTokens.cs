using System.Buffers;

namespace Microsoft.ML.EarlyExit;

/// <summary>Finds special tokens written out in a text.</summary>
internal sealed class SpecialTokens
{
    private readonly SearchValues<string> _search;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _ids;
    private readonly int[] _lengths;
    private readonly int _firstExtraId;

    /// <param name="ids">The tokens.</param>
    /// <param name="firstExtraId">Tokens from this id on swallow the white space around them.</param>
    public SpecialTokens(Dictionary<string, int> ids, int firstExtraId)
    {
        _search = SearchValues.Create([.. ids.Keys], StringComparison.Ordinal);
        _ids = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        _lengths = [.. ids.Keys.Select(key => key.Length).Distinct().OrderDescending()];
        _firstExtraId = firstExtraId;
    }

    /// <summary>Splits off the text before the first special token.</summary>
    /// <returns>Whether there is one; if not, <paramref name="before"/> is the whole text.</returns>
    public bool TrySplit(ReadOnlySpan<char> text, out ReadOnlySpan<char> before, out int id, out ReadOnlySpan<char> after)
    {
        int start = text.IndexOfAny(_search);
        if (start >= 0)
        {
            foreach (int length in _lengths)
            {
                if (length <= text.Length - start && _ids.TryGetValue(text.Slice(start, length), out id))
                {
                    bool swallows = id >= _firstExtraId;
                    before = swallows ? TrimEnd(text[..start]) : text[..start];
                    after = swallows ? TrimStart(text[(start + length)..]) : text[(start + length)..];
                    return true;
                }
            }
        }

        before = text;
        id = 0;
        after = default;
        return false;
    }

    private static ReadOnlySpan<char> TrimEnd(ReadOnlySpan<char> text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1]))
        {
            end--;
        }

        return text[..end];
    }

    private static ReadOnlySpan<char> TrimStart(ReadOnlySpan<char> text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start]))
        {
            start++;
        }

        return text[start..];
    }

    // The reference trims by Python's idea of white space, which has the four separators U+001C to U+001F on top.
    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';
}
