using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>One line of a terminal, as what was written leaves it: carriage returns, erasing to the end and moving to the right, and characters of no or two
/// columns.</summary>
internal sealed class Screen
{
    private readonly List<string> _cells = [];
    private int _column;

    /// <summary>What stands there.</summary>
    public string Line => string.Concat(_cells).TrimEnd();

    /// <summary>The cursor's column, from 0.</summary>
    public int Cursor => _column;

    /// <summary>How far a character ever reached.</summary>
    public int Widest { get; private set; }

    public void Write(string text)
    {
        for (int index = 0; index < text.Length;)
        {
            if (text[index] == '\r')
            {
                _column = 0;
                index++;
            }
            else if (text[index] == '\n')
            {
                index++;
            }
            else if (text[index] == '\e')
            {
                int end = text.IndexOfAny(['K', 'C'], index);
                if (text[end] == 'K')
                    _cells.RemoveRange(Math.Min(_column, _cells.Count), Math.Max(0, _cells.Count - _column));
                else
                    _column += int.Parse(text.AsSpan(index + 2, end - index - 2), CultureInfo.InvariantCulture);
                index = end + 1;
            }
            else
            {
                int length = StringInfo.GetNextTextElementLength(text, index);
                Put(text.Substring(index, length));
                index += length;
            }
        }
    }

    private void Put(string element)
    {
        // As East Asian terminals show the characters that the tests use.
        int width = Rune.GetRuneAt(element, 0).Value is (>= 0x3041 and <= 0x9FFF) or (>= 0x1F300 and <= 0x1F6FF) ? 2 : 1;
        while (_cells.Count < _column + width)
            _cells.Add(" ");
        _cells[_column] = element;
        if (width == 2)
            _cells[_column + 1] = "";
        _column += width;
        Widest = Math.Max(Widest, _column);
    }
}
