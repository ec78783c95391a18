using System.Globalization;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>The words and marks of a text as sacrebleu's tokenizers have them. Holds buffers; not thread-safe.</summary>
/// <remarks>
/// The rules of a tokenizer are applied one after the other, each from left to right without looking again at what it has just matched: what stands beside a
/// mark it has set apart may decide for the next one.
/// </remarks>
internal sealed class BleuTokens
{
    private char[] _text = new char[1024];
    private char[] _next = new char[1024];
    private char[] _lower = [];
    private int _length;

    /// <summary>How many chars the largest buffer has room for.</summary>
    public int Capacity => Math.Max(_lower.Length, Math.Max(_text.Length, _next.Length));

    /// <summary>The text with white space between its tokens, until the next call.</summary>
    /// <param name="text">The text as it was given.</param>
    /// <param name="tokenizer">Whose tokens.</param>
    /// <param name="lowercase">Whether the text is put into lower case before, as <c>str.lower</c> does.</param>
    public ReadOnlySpan<char> Tokenize(ReadOnlySpan<char> text, BleuTokenizer tokenizer, bool lowercase)
    {
        if (lowercase)
        {
            if (_lower.Length < 2L * text.Length)
                _lower = new char[checked(2 * text.Length)];
            text = _lower.AsSpan(0, PythonText.Lower(text, _lower));
        }

        text = PythonText.TrimEnd(text);
        switch (tokenizer)
        {
            case BleuTokenizer.None:
                return text;
            case BleuTokenizer.Char:
                SetAllApart(text);
                return Text;
            case BleuTokenizer.Intl:
                SetMarksApartInternationally(text);
                return Text;
            case BleuTokenizer.Zh:
                SetChineseApart(PythonText.TrimStart(text));
                break;
            default:
                Normalize(text);
                break;
        }

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

    private void Normalize(ReadOnlySpan<char> text)
    {
        Copy(text, 1);
        _text[0] = ' ';
        _text[_length++] = ' ';
        Replace("<skipped>", "");
        Replace("-\n", "");
        Replace("\n", " ");
        Replace("&quot;", "\"");
        Replace("&amp;", "&");
        Replace("&lt;", "<");
        Replace("&gt;", ">");
    }

    private void SetAllApart(ReadOnlySpan<char> text)
    {
        Copy(text, 0);
        Span<char> next = Next(2);
        int length = 0;
        for (int i = 0, chars; i < text.Length; i += chars)
        {
            PythonText.Category(text, i, out chars);
            text.Slice(i, chars).CopyTo(next[length..]);
            length += chars;
            next[length++] = ' ';
        }

        Swap(length);
    }

    private void SetChineseApart(ReadOnlySpan<char> text)
    {
        Copy(text, 0);
        Span<char> next = Next(3);
        int length = 0;
        foreach (char c in text)
        {
            if (IsChinese(c))
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

    // sacrebleu's list. Its two ranges beyond U+FFFF are written so that Python reads "\u2000" and "0": what they hold is U+2001 to U+2A6D, punctuation and
    // symbols of all scripts among them, and some radicals, but nothing beyond U+FFFF.
    private static bool IsChinese(char c) => c is (> '\u2000' and <= '\u2A6D') or (>= '\u2E80' and <= '\u2EFF') or (>= '\u2F00' and <= '\u2FDF')
        or (>= '\u2FF0' and <= '\u303F') or (>= '\u3100' and <= '\u312F') or (>= '\u31A0' and <= '\u31EF')
        or (>= '\u3200' and <= '\u33FF') or (>= '\u3400' and <= '\u4DB5') or (>= '\u4E00' and <= '\u9FBB') or (>= '\uF900' and <= '\uFA2D')
        or (>= '\uFA30' and <= '\uFA6A') or (>= '\uFA70' and <= '\uFAD9') or (>= '\uFE10' and <= '\uFE1F') or (>= '\uFE30' and <= '\uFE4F')
        or (>= '\uFF00' and <= '\uFFEF');

    private void SetMarksApartInternationally(ReadOnlySpan<char> text)
    {
        Copy(text, 0);
        SetPairsApart(static (first, second) => !IsNumber(first) && IsPunctuation(second), isSecond: true);
        SetPairsApart(static (first, second) => IsPunctuation(first) && !IsNumber(second), isSecond: false);
        Span<char> next = Next(3);
        int length = 0;
        ReadOnlySpan<char> current = Text;
        for (int i = 0, chars; i < current.Length; i += chars)
        {
            bool isSymbol = IsSymbol(PythonText.Category(current, i, out chars));
            if (isSymbol)
                next[length++] = ' ';
            current.Slice(i, chars).CopyTo(next[length..]);
            length += chars;
            if (isSymbol)
                next[length++] = ' ';
        }

        Swap(length);
    }

    // Sets one of two neighbours apart, and goes on behind both.
    private void SetPairsApart(Func<UnicodeCategory, UnicodeCategory, bool> areApart, bool isSecond)
    {
        Span<char> text = Text;
        Span<char> next = Next(2);
        int length = 0;
        for (int i = 0; i < text.Length;)
        {
            UnicodeCategory first = PythonText.Category(text, i, out int chars);
            int behind = 0;
            bool found = i + chars < text.Length && areApart(first, PythonText.Category(text, i + chars, out behind));
            Write(text.Slice(i, chars), next, found && !isSecond, found && !isSecond);
            if (found)
                Write(text.Slice(i + chars, behind), next, isSecond, isSecond);
            i += chars + (found ? behind : 0);
        }

        Swap(length);

        void Write(ReadOnlySpan<char> character, Span<char> next, bool before, bool after)
        {
            if (before)
                next[length++] = ' ';
            character.CopyTo(next[length..]);
            length += character.Length;
            if (after)
                next[length++] = ' ';
        }
    }

    private static bool IsNumber(UnicodeCategory category) =>
        category is UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;

    private static bool IsPunctuation(UnicodeCategory category) => category is UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation
        or UnicodeCategory.OpenPunctuation or UnicodeCategory.ClosePunctuation or UnicodeCategory.InitialQuotePunctuation
        or UnicodeCategory.FinalQuotePunctuation or UnicodeCategory.OtherPunctuation;

    private static bool IsSymbol(UnicodeCategory category) =>
        category is UnicodeCategory.MathSymbol or UnicodeCategory.CurrencySymbol or UnicodeCategory.ModifierSymbol or UnicodeCategory.OtherSymbol;

    private void Copy(ReadOnlySpan<char> text, int at)
    {
        // One more behind it, for a space.
        if (_text.Length < text.Length + at + 1)
            _text = new char[text.Length + at + 1];
        text.CopyTo(_text.AsSpan(at));
        _length = text.Length + at;
    }

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
