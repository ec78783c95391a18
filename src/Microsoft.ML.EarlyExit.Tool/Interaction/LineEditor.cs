using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>
/// One line typed on a terminal, with the keys that shells have, and the lines before it. A line longer than the terminal is wide moves sideways under the
/// cursor, so that it never wraps.
/// </summary>
/// <param name="keyboard">The keys.</param>
/// <param name="output">The terminal.</param>
/// <param name="prompt">Stands before the line; a column for every character.</param>
internal sealed class LineEditor(IKeyboard keyboard, TextWriter output, string prompt)
{
    private const int FewestColumns = 8;

    private readonly List<string> _history = [];
    private readonly StringBuilder _text = new();
    private int _cursor;
    private int _window;
    private int _place;
    private string _unfinished = "";
    private char _highSurrogate;

    /// <summary>Reads a line; it stays on the terminal.</summary>
    public TypedLine Read()
    {
        (_cursor, _window, _place, _unfinished, _highSurrogate) = (0, 0, _history.Count, "", '\0');
        _text.Clear();
        keyboard.BeginLine();
        try
        {
            LineEnd? end = null;
            for (Paint(); end is null; Paint())
                end = Take(keyboard.ReadKey());
            output.Write("\r\n");
            string text = _text.ToString();
            if (end == LineEnd.Entered && !string.IsNullOrWhiteSpace(text) && (_history.Count == 0 || _history[^1] != text))
                _history.Add(text);
            return new TypedLine(text, end.Value);
        }
        finally
        {
            keyboard.EndLine();
        }
    }

    private LineEnd? Take(ConsoleKeyInfo key)
    {
        if (key.Modifiers.HasFlag(ConsoleModifiers.Control) && !key.Modifiers.HasFlag(ConsoleModifiers.Alt))
            return TakeControl(key.Key);
        switch (key.Key)
        {
            case ConsoleKey.Enter:
                return LineEnd.Entered;
            case ConsoleKey.LeftArrow:
                _cursor = Before(_cursor);
                break;
            case ConsoleKey.RightArrow:
                _cursor = After(_cursor);
                break;
            case ConsoleKey.Home:
                _cursor = 0;
                break;
            case ConsoleKey.End:
                _cursor = _text.Length;
                break;
            case ConsoleKey.UpArrow:
                Recall(_place - 1);
                break;
            case ConsoleKey.DownArrow:
                Recall(_place + 1);
                break;
            case ConsoleKey.Backspace:
                RemoveTo(Before(_cursor));
                break;
            case ConsoleKey.Delete:
                RemoveTo(After(_cursor));
                break;
            default:
                Insert(key.KeyChar);
                break;
        }

        return null;
    }

    private LineEnd? TakeControl(ConsoleKey key)
    {
        switch (key)
        {
            case ConsoleKey.C:
                return LineEnd.Interrupted;
            case ConsoleKey.D when _text.Length == 0:
                return LineEnd.Closed;
            case ConsoleKey.D:
                RemoveTo(After(_cursor));
                break;
            // Terminals send line feed and backspace as these.
            case ConsoleKey.J or ConsoleKey.M or ConsoleKey.Enter:
                return LineEnd.Entered;
            case ConsoleKey.H or ConsoleKey.Backspace:
                RemoveTo(Before(_cursor));
                break;
            case ConsoleKey.A:
                _cursor = 0;
                break;
            case ConsoleKey.E:
                _cursor = _text.Length;
                break;
            case ConsoleKey.U:
                RemoveTo(0);
                break;
            case ConsoleKey.K:
                RemoveTo(_text.Length);
                break;
            case ConsoleKey.LeftArrow:
                _cursor = WordBefore(_cursor);
                break;
            case ConsoleKey.RightArrow:
                _cursor = WordAfter(_cursor);
                break;
            case ConsoleKey.W:
                RemoveTo(WordBefore(_cursor));
                break;
        }

        return null;
    }

    private void Insert(char character)
    {
        // The halves of a character beyond the first 65,536 come as two keys.
        if (char.IsHighSurrogate(character))
        {
            _highSurrogate = character;
            return;
        }

        string typed = char.IsLowSurrogate(character)
            ? (_highSurrogate == '\0' ? "" : $"{_highSurrogate}{character}")
            : char.IsControl(character) ? "" : $"{character}";
        _highSurrogate = '\0';
        _text.Insert(_cursor, typed);
        _cursor += typed.Length;
    }

    private void Recall(int place)
    {
        if (place < 0 || place > _history.Count)
            return;
        if (_place == _history.Count)
            _unfinished = _text.ToString();
        _place = place;
        _text.Clear().Append(place == _history.Count ? _unfinished : _history[place]);
        _cursor = _text.Length;
    }

    private void RemoveTo(int end)
    {
        int start = Math.Min(_cursor, end);
        _text.Remove(start, Math.Abs(_cursor - end));
        _cursor = start;
    }

    /// <summary>Where the character before a place begins.</summary>
    private int Before(int place) => Elements().LastOrDefault(start => start < place);

    /// <summary>Where the character at a place ends.</summary>
    private int After(int place) => Elements().Append(_text.Length).FirstOrDefault(start => start > place, _text.Length);

    private int WordBefore(int place)
    {
        string text = _text.ToString();
        while (place > 0 && char.IsWhiteSpace(text[place - 1]))
            place--;
        while (place > 0 && !char.IsWhiteSpace(text[place - 1]))
            place--;
        return place;
    }

    private int WordAfter(int place)
    {
        string text = _text.ToString();
        while (place < text.Length && char.IsWhiteSpace(text[place]))
            place++;
        while (place < text.Length && !char.IsWhiteSpace(text[place]))
            place++;
        return place;
    }

    /// <summary>Where characters begin, as people count them: with their marks.</summary>
    private int[] Elements() => StringInfo.ParseCombiningCharacters(_text.ToString());

    /// <summary>Writes the line again, as much of it as there is room for around the cursor, and puts the cursor there.</summary>
    private void Paint()
    {
        // The last column stays free: a terminal wraps behind it.
        int room = Math.Max(FewestColumns, keyboard.Columns - prompt.Length - 1);
        string text = _text.ToString();
        int[] starts = Elements();
        _window = Math.Min(_window, _cursor);
        while (Width(text, starts, _window, _cursor) > room)
            _window = After(_window);
        int end = _window;
        while (end < text.Length && Width(text, starts, _window, After(end)) <= room)
            end = After(end);

        output.Write($"\r{prompt}{text.AsSpan(_window, end - _window)}\e[K\r{Right(prompt.Length + Width(text, starts, _window, _cursor))}");

        static string Right(int columns) => $"\e[{columns}C";
    }

    private static int Width(string text, int[] starts, int from, int to)
    {
        int width = 0;
        for (int index = 0; index < starts.Length; index++)
        {
            int end = index + 1 < starts.Length ? starts[index + 1] : text.Length;
            if (starts[index] >= from && end <= to)
                width += TextWidth.Of(text.AsSpan(starts[index], end - starts[index]));
        }

        return width;
    }
}
