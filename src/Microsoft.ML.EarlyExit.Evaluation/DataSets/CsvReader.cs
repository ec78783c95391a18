using System.Buffers;
using System.Text;
using System.Text.Unicode;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>
/// The records of a CSV file as RFC 4180 has them: commas between fields, double quotes around a field that holds a comma, a quote (doubled) or a line's end;
/// LF or CR LF after a record. Blank lines are none.
/// </summary>
internal sealed class CsvReader
{
    /// <summary>Bytes of a record; no text comes near.</summary>
    internal const int LongestRecord = LineReader.LongestLine;

    private readonly Stream _stream;
    private readonly string _file;
    private readonly byte[] _buffer = new byte[1 << 16];
    private readonly ArrayBufferWriter<byte> _field = new();
    private int _start;
    private int _end;
    private long _line = 1;
    private long _length;

    internal CsvReader(Stream stream, string file)
    {
        _stream = stream;
        _file = file;
        _end = stream.ReadAtLeast(_buffer, Encoding.UTF8.Preamble.Length, throwOnEndOfStream: false);
        if (_buffer.AsSpan(0, _end).StartsWith(Encoding.UTF8.Preamble))
            _start = Encoding.UTF8.Preamble.Length;
    }

    /// <summary>The line that the record read last begins in, from 1.</summary>
    internal long Line { get; private set; } = 1;

    /// <summary>Reads the next record.</summary>
    /// <returns>Its fields; null at the end of the file.</returns>
    /// <exception cref="InvalidDataException">A quote is not closed or stands within a field without quotes, a carriage return stands alone, the record is
    /// longer than <see cref="LongestRecord"/>, or a field is not valid UTF-8.</exception>
    internal string[]? Read()
    {
        for (; Peek() is '\r' or '\n'; SkipLineEnd())
        {
        }

        if (Peek() < 0)
            return null;
        Line = _line;
        _length = 0;
        var fields = new List<string>();
        do
            fields.Add(ReadField(fields.Count + 1));
        while (TrySkip(','));
        if (Peek() >= 0)
            SkipLineEnd();
        return [.. fields];
    }

    /// <summary>Reads the next record, which must have so many fields.</summary>
    internal string[]? Read(int count)
    {
        string[]? fields = Read();
        return fields is null || fields.Length == count
            ? fields
            : throw Fail($"{fields.Length} {(fields.Length == 1 ? "column" : "columns")}; there must be {count}.");
    }

    /// <summary>The exception with a message about the record read last.</summary>
    internal InvalidDataException Fail(string message) => Fail(Line, message);

    private InvalidDataException Fail(long line, string message) => new($"{_file}, line {line}: {message}");

    private string ReadField(int column)
    {
        long line = _line;
        _field.ResetWrittenCount();
        if (TrySkip('"'))
        {
            ReadQuoted(line, column);
        }
        else
        {
            for (int next; (next = Peek()) >= 0 && next is not (',' or '\r' or '\n'); Take())
            {
                if (next == '"')
                    throw Fail(_line, $"column {column} holds a quote but is not in quotes; put it in quotes and double the quote.");
            }
        }

        if (!Utf8.IsValid(_field.WrittenSpan))
            throw Fail(line, $"column {column} is not valid UTF-8.");
        return Encoding.UTF8.GetString(_field.WrittenSpan);
    }

    private void ReadQuoted(long line, int column)
    {
        while (true)
        {
            switch (Peek())
            {
                case < 0:
                    throw Fail(line, $"the quote that opens column {column} is never closed.");
                case '"':
                    Advance();
                    if (Peek() == '"')
                        break;
                    if (Peek() is >= 0 and not (',' or '\r' or '\n'))
                        throw Fail(_line, $"column {column} goes on after its closing quote; a quote within it must be doubled.");
                    return;
            }

            Take();
        }
    }

    /// <summary>Moves the next byte into the field.</summary>
    private void Take()
    {
        if (++_length > LongestRecord)
            throw Fail($"the record that begins here has more than {LongestRecord} bytes; is a quote left open?");
        _field.GetSpan(1)[0] = _buffer[_start];
        _field.Advance(1);
        Advance();
    }

    private void SkipLineEnd()
    {
        TrySkip('\r');
        if (!TrySkip('\n'))
            throw Fail(_line, "a carriage return without a line feed; lines must end in LF or CR LF.");
    }

    private bool TrySkip(char character)
    {
        if (Peek() != character)
            return false;
        Advance();
        return true;
    }

    private void Advance()
    {
        if (_buffer[_start++] == '\n')
            _line++;
    }

    private int Peek()
    {
        if (_start == _end)
            (_start, _end) = (0, _stream.Read(_buffer));
        return _start < _end ? _buffer[_start] : -1;
    }
}
