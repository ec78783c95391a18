using System.Buffers;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>Finds tokens that are written out in a text, as Hugging Face's <c>T5Tokenizer</c> does.</summary>
internal sealed class SpecialTokens
{
    private readonly SearchValues<string> _search;
    private readonly Dictionary<string, AddedToken> _tokens = new(StringComparer.Ordinal);
    private readonly Dictionary<string, AddedToken>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly int[] _lengths;

    /// <param name="tokens">The tokens; of several with one content the last one counts.</param>
    public SpecialTokens(IEnumerable<AddedToken> tokens)
    {
        foreach (AddedToken token in tokens)
            _tokens[token.Content] = token;
        _search = SearchValues.Create([.. _tokens.Keys], StringComparison.Ordinal);
        _lookup = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();
        _lengths = [.. _tokens.Keys.Select(key => key.Length).Distinct().OrderDescending()];
    }

    /// <summary>Cuts a text at its tokens: the leftmost first, of those the longest.</summary>
    /// <returns>The parts in order, some maybe empty; those without a token are to be segmented.</returns>
    public IReadOnlyList<(string Text, AddedToken? Token)> Split(string text)
    {
        var parts = new List<(string Text, AddedToken? Token)>();
        int start = 0;
        while (Find(text.AsSpan(start), out int before) is { } token)
        {
            if (before > 0)
                parts.Add((text.Substring(start, before), null));
            parts.Add((token.Content, token));
            start += before + token.Content.Length;
        }

        if (start == 0)
            return [(text, null)];
        if (start < text.Length)
            parts.Add((text[start..], null));
        for (int index = 0; index < parts.Count; index++)
        {
            if (parts[index].Token is { } token)
                Apply(token, parts, index);
        }

        return parts;
    }

    private AddedToken? Find(ReadOnlySpan<char> text, out int before)
    {
        before = text.IndexOfAny(_search);
        if (before < 0)
            return null;
        foreach (int length in _lengths)
        {
            if (length <= text.Length - before && _lookup.TryGetValue(text.Slice(before, length), out AddedToken? token))
                return token;
        }

        return null;
    }

    /// <summary>
    /// The flags of one token. As in the reference, neighbours are judged as they were before this token's own stripping, and only U+0020 ends a word; what a
    /// token is joined to is text from then on.
    /// </summary>
    private void Apply(AddedToken token, List<(string Text, AddedToken? Token)> parts, int index)
    {
        string left = index > 0 ? parts[index - 1].Text : "";
        string right = index + 1 < parts.Count ? parts[index + 1].Text : "";
        if (token.StripsRight && right.Length > 0)
            Set(index + 1, right[StartOfText(right)..]);
        if (token.StripsLeft && left.Length > 0)
            Set(index - 1, left[..EndOfText(left)]);
        if (!token.IsSingleWord)
            return;
        if (left.Length > 0 && left[^1] != ' ')
        {
            parts[index - 1] = (parts[index - 1].Text + token.Content, null);
            parts[index] = ("", null);
        }
        else if (right.Length > 0 && right[0] != ' ')
        {
            parts[index + 1] = (token.Content + parts[index + 1].Text, null);
            parts[index] = ("", null);
        }

        void Set(int at, string text)
        {
            if (text.Length < parts[at].Text.Length)
                parts[at] = (text, _tokens.GetValueOrDefault(text));
        }
    }

    private static int StartOfText(string text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start]))
            start++;
        return start;
    }

    private static int EndOfText(string text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1]))
            end--;
        return end;
    }

    // The reference trims by Python's idea of white space, which has the four separators U+001C to U+001F on top.
    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';
}
