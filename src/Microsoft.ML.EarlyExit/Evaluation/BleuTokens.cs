namespace Microsoft.ML.EarlyExit;

/// <summary>The words and marks of a text as sacrebleu's tokenizer "13a" has them, which is that of NIST's mteval-v13a. Holds buffers; not thread-safe.</summary>
/// <remarks>
/// The rules are applied one after the other, each from left to right without looking again at what it has just matched: what stands beside a mark it has
/// set apart may decide for the next one.
/// </remarks>
internal sealed class BleuTokenizer
{
    private char[] _text = new char[1024];
    private char[] _next = new char[1024];
    private int _length;

    /// <summary>How many chars the larger buffer has room for.</summary>
    public int Capacity => Math.Max(_text.Length, _next.Length);

    /// <summary>The text with white space between its tokens, until the next call.</summary>
    public ReadOnlySpan<char> Tokenize(ReadOnlySpan<char> text)
    {
        _length = text.Length + 2;
        if (_text.Length < _length)
            _text = new char[_length];
        _text[0] = ' ';
        text.CopyTo(_text.AsSpan(1));
        _text[_length - 1] = ' ';
        Replace("<skipped>", "");
        Replace("-\n", "");
        Replace("\n", " ");
        Replace("&quot;", "\"");
        Replace("&amp;", "&");
        Replace("&lt;", "<");
        Replace("&gt;", ">");

        SetMarksApart();
        if (Text.ContainsAny('.', ','))
        {
            SetApartUnlessAfterDigit();
            SetApartUnlessBeforeDigit();
        }

        if (Text.Contains('-'))
            SetDashApartAfterDigit();
        return Text;
    }

    private Span<char> Text => _text.AsSpan(0, _length);

    // In place, for what comes is never longer.
    private void Replace(string what, string with)
    {
        Span<char> text = Text;
        int found = text.IndexOf(what);
        if (found < 0)
            return;
        int length = found;
        int at = found;
        while (found >= 0)
        {
            with.CopyTo(text[length..]);
            length += with.Length;
            at += what.Length;
            found = text[at..].IndexOf(what);
            Span<char> kept = text.Slice(at, found < 0 ? text.Length - at : found);
            kept.CopyTo(text[length..]);
            length += kept.Length;
            at += kept.Length;
        }

        _length = length;
    }

    private void SetMarksApart()
    {
        Span<char> next = Next(3);
        int length = 0;
        foreach (char c in Text)
        {
            if (c is (>= ' ' and <= '&') or (>= '(' and <= '+') or '/' or (>= ':' and <= '@') or (>= '[' and <= '`') or (>= '{' and <= '~'))
            {
                next[length++] = ' ';
                next[length++] = c;
                next[length++] = ' ';
            }
            else
            {
                next[length++] = c;
            }
        }

        Swap(length);
    }

    private void SetApartUnlessAfterDigit()
    {
        Span<char> text = Text;
        Span<char> next = Next(2);
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            next[length++] = text[i];
            if (i + 1 < text.Length && (text[i + 1] is '.' or ',') && !char.IsAsciiDigit(text[i]))
            {
                next[length++] = ' ';
                next[length++] = text[++i];
                next[length++] = ' ';
            }
        }

        Swap(length);
    }

    private void SetApartUnlessBeforeDigit()
    {
        Span<char> text = Text;
        Span<char> next = Next(2);
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if ((text[i] is '.' or ',') && i + 1 < text.Length && !char.IsAsciiDigit(text[i + 1]))
            {
                next[length++] = ' ';
                next[length++] = text[i++];
                next[length++] = ' ';
            }

            next[length++] = text[i];
        }

        Swap(length);
    }

    private void SetDashApartAfterDigit()
    {
        Span<char> text = Text;
        Span<char> next = Next(2);
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            next[length++] = text[i];
            if (char.IsAsciiDigit(text[i]) && i + 1 < text.Length && text[i + 1] == '-')
            {
                next[length++] = ' ';
                next[length++] = text[++i];
                next[length++] = ' ';
            }
        }

        Swap(length);
    }

    // Room for a text so many times as long.
    private Span<char> Next(int times)
    {
        int length = checked(times * _length);
        if (_next.Length < length)
            _next = new char[length];
        return _next;
    }

    private void Swap(int length)
    {
        (_text, _next) = (_next, _text);
        _length = length;
    }
}
