using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>The words and marks of a text as sacrebleu's tokenizer "13a" has them, which is that of NIST's mteval-v13a. Holds buffers; not thread-safe.</summary>
/// <remarks>
/// The rules are applied one after the other, each from left to right without looking again at what it has just matched: what stands beside a mark it has
/// set apart may decide for the next one.
/// </remarks>
internal sealed class BleuTokenizer
{
    private List<char> _text = [];
    private List<char> _next = [];

    /// <summary>How many chars the larger buffer has room for.</summary>
    public int Capacity => Math.Max(_text.Capacity, _next.Capacity);

    /// <summary>The text with white space between its tokens, until the next call.</summary>
    public ReadOnlySpan<char> Tokenize(ReadOnlySpan<char> text)
    {
        _text.Clear();
        _text.Add(' ');
        _text.AddRange(text);
        _text.Add(' ');
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

    private Span<char> Text => CollectionsMarshal.AsSpan(_text);

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

        CollectionsMarshal.SetCount(_text, length);
    }

    private void SetMarksApart()
    {
        foreach (char c in Text)
        {
            if (c is (>= ' ' and <= '&') or (>= '(' and <= '+') or '/' or (>= ':' and <= '@') or (>= '[' and <= '`') or (>= '{' and <= '~'))
            {
                _next.Add(' ');
                _next.Add(c);
                _next.Add(' ');
            }
            else
            {
                _next.Add(c);
            }
        }

        Swap();
    }

    private void SetApartUnlessAfterDigit()
    {
        Span<char> text = Text;
        for (int i = 0; i < text.Length; i++)
        {
            _next.Add(text[i]);
            if (i + 1 < text.Length && (text[i + 1] is '.' or ',') && !char.IsAsciiDigit(text[i]))
            {
                _next.Add(' ');
                _next.Add(text[++i]);
                _next.Add(' ');
            }
        }

        Swap();
    }

    private void SetApartUnlessBeforeDigit()
    {
        Span<char> text = Text;
        for (int i = 0; i < text.Length; i++)
        {
            if ((text[i] is '.' or ',') && i + 1 < text.Length && !char.IsAsciiDigit(text[i + 1]))
            {
                _next.Add(' ');
                _next.Add(text[i++]);
                _next.Add(' ');
            }

            _next.Add(text[i]);
        }

        Swap();
    }

    private void SetDashApartAfterDigit()
    {
        Span<char> text = Text;
        for (int i = 0; i < text.Length; i++)
        {
            _next.Add(text[i]);
            if (char.IsAsciiDigit(text[i]) && i + 1 < text.Length && text[i + 1] == '-')
            {
                _next.Add(' ');
                _next.Add(text[++i]);
                _next.Add(' ');
            }
        }

        Swap();
    }

    private void Swap()
    {
        (_text, _next) = (_next, _text);
        _next.Clear();
    }
}
