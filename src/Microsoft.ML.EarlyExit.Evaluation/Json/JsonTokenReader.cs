using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Evaluation.Json;

/// <summary>
/// The tokens of a JSON text of any length, one in memory at a time, each with its line and its path. What is wrong becomes an
/// <see cref="InvalidDataException"/> that names the file, the line, the path, and what was expected.
/// </summary>
internal sealed class JsonTokenReader
{
    /// <summary>Bytes of a token; no text comes near.</summary>
    internal const int LongestToken = LineReader.LongestLine;

    private const int LongestQuotation = 60;

    private readonly Stream _stream;
    private readonly string _file;
    private readonly long _firstLine;
    private readonly List<Frame> _frames = [];
    private byte[] _buffer;
    private int _start;
    private int _end;
    private bool _isEnd;
    private bool _isAnything;
    private JsonReaderState _state;
    private long _line;

    /// <summary>Reads from a stream, from its start.</summary>
    internal JsonTokenReader(Stream stream, string file)
    {
        _stream = stream;
        _file = file;
        _firstLine = _line = 1;
        _buffer = new byte[1 << 16];
        do
            Fill();
        while (!_isEnd && _end < Encoding.UTF8.Preamble.Length);
        if (_buffer.AsSpan(0, _end).StartsWith(Encoding.UTF8.Preamble))
            _start = Encoding.UTF8.Preamble.Length;
    }

    /// <summary>Reads one line of a file.</summary>
    internal JsonTokenReader(byte[] text, string file, long line)
    {
        _stream = Stream.Null;
        _file = file;
        _firstLine = _line = line;
        _buffer = text;
        _end = text.Length;
        _isEnd = true;
    }

    /// <summary>What the token read last is.</summary>
    internal JsonTokenType Type { get; private set; }

    /// <summary>The name or string read last, or the number, true, false or null as it is written; empty for a bracket.</summary>
    internal string Text { get; private set; } = "";

    /// <summary>The line of the token read last, from 1.</summary>
    internal long Line { get; private set; } = 1;

    /// <summary>
    /// Where the token read last is, such as <c>data[3].paragraphs[0].context</c>; empty for the whole. A closing bracket is where its opening one is.
    /// </summary>
    internal string Path
    {
        get
        {
            var path = new StringBuilder();
            foreach (Frame frame in _frames)
            {
                if (frame.Names is null && frame.Index >= 0)
                    path.Append(CultureInfo.InvariantCulture, $"[{frame.Index}]");
                else if (frame.Name is { } name)
                    path.Append(path.Length > 0 ? "." : "").Append(Shorten(name));
            }

            return path.ToString();
        }
    }

    /// <summary>Reads the next token.</summary>
    /// <returns>Whether there was one; false at the end of the text.</returns>
    internal bool Read()
    {
        while (!TryRead())
        {
            if (_isEnd)
                return false;
            Fill();
        }

        Follow();
        return true;
    }

    /// <summary>Reads the next name of the object that is open.</summary>
    /// <returns>Whether there was one; false where the object ended.</returns>
    internal bool TryReadName([NotNullWhen(true)] out string? name)
    {
        Read();
        name = Type == JsonTokenType.PropertyName ? Text : null;
        return name is not null;
    }

    /// <summary>Reads the beginning of the next item of the array that is open.</summary>
    /// <returns>Whether there was one; false where the array ended.</returns>
    internal bool TryReadItem() => Read() && Type != JsonTokenType.EndArray;

    /// <summary>Reads the next value, which must be a string.</summary>
    internal string ReadString()
    {
        Read();
        return Type == JsonTokenType.String ? Text : throw Refuse("it must be a string");
    }

    /// <summary>Reads the next value, which must be an array of at least one string.</summary>
    internal string[] ReadStrings()
    {
        Read();
        return ReadItems();
    }

    /// <summary>Reads the rest of the value that begins with the token read last, which must be an array of at least one string.</summary>
    internal string[] ReadItems()
    {
        Require(JsonTokenType.StartArray);
        var items = new List<string>();
        while (TryReadItem())
            items.Add(Type == JsonTokenType.String ? Text : throw Refuse("it must be a string"));
        return items.Count > 0 ? [.. items] : throw Fail($"{Path} is empty; give at least one.");
    }

    /// <summary>Refuses the value that begins with the token read last where it is no object, or no array.</summary>
    internal void Require(JsonTokenType type)
    {
        if (Type != type)
            throw Refuse(type == JsonTokenType.StartObject ? "it must be an object" : "it must be an array");
    }

    /// <summary>The value of a field of the object that has just ended; refuses the object where it lacks it.</summary>
    internal T Required<T>(T? value, string name)
        where T : class => value ?? throw Fail($"{Path}{(Path.Length > 0 ? "." : "")}{name} is missing.");

    /// <summary>Reads and forgets the next value.</summary>
    internal void Skip()
    {
        int depth = _frames.Count;
        do
            Read();
        while (_frames.Count > depth);
    }

    /// <summary>Refuses whatever follows the value that ended last, other than white space.</summary>
    internal void ReadEnd() => Read();

    /// <summary>The exception that refuses the value that begins with the token read last.</summary>
    internal InvalidDataException Refuse(string expectation)
    {
        string value = Type switch
        {
            JsonTokenType.StartObject => "an object",
            JsonTokenType.StartArray => "an array",
            JsonTokenType.String => $"\"{Shorten(Text)}\"",
            _ => Shorten(Text),
        };
        string path = Path;
        return Fail($"{(path.Length > 0 ? path : "the whole")} is {value}; {expectation}.");
    }

    /// <summary>The exception with a message about the line of the token read last.</summary>
    internal InvalidDataException Fail(string message) => new($"{_file}, line {Line}: {message}");

    /// <summary>A text as messages show it.</summary>
    internal static string Shorten(string text) => text.Length <= LongestQuotation ? text : $"{text.AsSpan(0, LongestQuotation)}…";

    private bool TryRead()
    {
        ReadOnlySpan<byte> available = _buffer.AsSpan(_start, _end - _start);
        if (!_isAnything && _isEnd && available.IndexOfAnyExcept(" \t\r\n"u8) < 0)
            throw new InvalidDataException($"{_file}, line {_line}: there is no JSON; the text is empty.");
        var reader = new Utf8JsonReader(available, _isEnd, _state);
        bool isRead;
        try
        {
            isRead = reader.Read();
        }
        catch (JsonException exception)
        {
            // The place within the line says where, and the message's own line may be counted from elsewhere.
            string path = Path;
            throw new InvalidDataException(
                $"{_file}, line {_firstLine + exception.LineNumber}, byte {exception.BytePositionInLine + 1}: it is not valid JSON"
                + $"{(path.Length > 0 ? $", after {path}" : "")}: {JsonProblem.Describe(exception)}.");
        }

        if (isRead)
        {
            _isAnything = true;
            Line = _line + available[..(int)reader.TokenStartIndex].Count((byte)'\n');
            Type = reader.TokenType;
            Text = GetText(ref reader);
        }

        int consumed = (int)reader.BytesConsumed;
        _line += available[..consumed].Count((byte)'\n');
        _start += consumed;
        _state = reader.CurrentState;
        return isRead;
    }

    private string GetText(ref Utf8JsonReader reader)
    {
        if (Type is not (JsonTokenType.String or JsonTokenType.PropertyName))
        {
            return Type is JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null
                ? Encoding.UTF8.GetString(reader.ValueSpan)
                : "";
        }

        if (!Utf8.IsValid(reader.ValueSpan))
            throw FailText("is not valid UTF-8");
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw FailText("has an escape of half a surrogate pair");
        }
    }

    private InvalidDataException FailText(string message)
    {
        string path = Path;
        return Fail($"{(path.Length > 0 ? $"{path}: " : "")}{(Type == JsonTokenType.PropertyName ? "a name" : "a string")} {message}.");
    }

    private void Follow()
    {
        if (Type is JsonTokenType.EndObject or JsonTokenType.EndArray)
        {
            _frames.RemoveAt(_frames.Count - 1);
            return;
        }

        if (_frames.Count > 0 && _frames[^1] is { } top)
        {
            if (Type == JsonTokenType.PropertyName)
            {
                top.Name = Text;
                if (!top.Names!.Add(Text))
                    throw Fail($"{Path} occurs twice; give it once.");
            }
            else if (top.Names is null)
            {
                top.Index++;
            }
        }

        if (Type is JsonTokenType.StartObject or JsonTokenType.StartArray)
            _frames.Add(new Frame { Names = Type == JsonTokenType.StartObject ? new HashSet<string>(StringComparer.Ordinal) : null });
    }

    private void Fill()
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        (_start, _end) = (0, _end - _start);
        if (_end == _buffer.Length)
        {
            if (_end >= LongestToken)
            {
                throw new InvalidDataException(
                    $"{_file}, line {_line}: {(Path.Length > 0 ? $"after {Path} " : "")}a value has more than {LongestToken} bytes.");
            }

            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        int count = _stream.Read(_buffer, _end, _buffer.Length - _end);
        _isEnd = count == 0;
        _end += count;
    }

    /// <summary>An open object, or array.</summary>
    private sealed class Frame
    {
        /// <summary>The names so far; null for an array.</summary>
        public HashSet<string>? Names { get; init; }

        public string? Name { get; set; }

        public int Index { get; set; } = -1;
    }
}
