using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Reads rows of <c>generate</c>, one per line. What is wrong with a line becomes a row that says so.</summary>
internal sealed class GenerationRowReader(Stream stream)
{
    /// <summary>Fields that the output row states itself, now or with other options; an older run's must not stand beside them.</summary>
    private static readonly HashSet<string> s_ownFields =
        new(StringComparer.Ordinal)
        {
            "id", "text", "inputIds", "tokenIds", "exitLayers", "confidences", "stopReason", "error", "steps", "flops", "acceptance",
        };

    private readonly LineReader _lines = new(stream);

    /// <summary>Bytes of the stream up to the end of the row read last.</summary>
    public long Position => _lines.Position;

    /// <summary>Reads the next row; blank lines are none.</summary>
    public bool TryRead(out GenerationRow row)
    {
        while (_lines.TryRead(out byte[]? line))
        {
            if (line is null)
                row = new RowFields(_lines.Number, []).Fail($"the line has more than {LineReader.LongestLine} bytes");
            else if (line.AsSpan().IndexOfAnyExcept(" \t\r"u8) < 0)
                continue;
            else
                row = Parse(line, _lines.Number);
            return true;
        }

        row = null!;
        return false;
    }

    private static GenerationRow Parse(byte[] line, long number)
    {
        var fields = new RowFields(number, line);
        // The reader checks only the text it is asked for, and the rest is copied as it stands.
        if (!Utf8.IsValid(line))
            return fields.Fail("it is not valid UTF-8");
        try
        {
            return fields.Read();
        }
        catch (JsonException exception)
        {
            // The line and place within it would otherwise be counted from the start of this row.
            return fields.Fail($"it is not valid JSON: {exception.Message.Split(" LineNumber: ")[0]} (byte {exception.BytePositionInLine + 1})");
        }
    }

    /// <summary>The fields of one line as they are found.</summary>
    private sealed class RowFields(long number, byte[] line)
    {
        private readonly HashSet<string> _names = new(StringComparer.Ordinal);
        private readonly ArrayBufferWriter<byte> _others = new();
        private ReadOnlyMemory<byte> _id = GenerationRow.NullId;
        private string? _text;
        private List<int>? _inputIds;
        private string? _error;

        public GenerationRow Fail(string error) => new(number, _id, default, null, $"line {number}: {error}.");

        public GenerationRow Read()
        {
            var reader = new Utf8JsonReader(line);
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
                return Fail("it is not a JSON object");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                ReadField(ref reader);
            // Refuses whatever follows the object.
            reader.Read();
            _error ??= (_text, _inputIds) switch
            {
                (null, null) => "it has neither text nor inputIds; give one of them",
                (not null, not null) => "it has both text and inputIds; give one of them",
                _ => null,
            };
            return _error is not null
                ? Fail(_error) with { OtherFields = _others.WrittenMemory }
                : new GenerationRow(number, _id, _others.WrittenMemory, _text is not null ? GenerationInput.FromText(_text) : GenerationInput.FromTokenIds(_inputIds!), null);
        }

        private void ReadField(ref Utf8JsonReader reader)
        {
            int start = (int)reader.TokenStartIndex;
            string name = JsonText.Read(ref reader);
            reader.Read();
            int valueStart = (int)reader.TokenStartIndex;
            bool isNew = _names.Add(name);
            if (!isNew)
                _error ??= $"the field '{Shorten(name)}' occurs twice; give it once";
            if (isNew && name == "text")
                ReadText(ref reader);
            else if (isNew && name == "inputIds")
                ReadInputIds(ref reader);
            reader.Skip();
            int end = (int)reader.BytesConsumed;
            if (name == "id")
            {
                // Of two ids neither can be trusted.
                _id = isNew ? line.AsMemory(valueStart, end - valueStart) : GenerationRow.NullId;
            }
            else if (isNew && !s_ownFields.Contains(name))
            {
                _others.Write(","u8);
                _others.Write(line.AsSpan(start, end - start));
            }
        }

        private void ReadText(ref Utf8JsonReader reader)
        {
            if (reader.TokenType == JsonTokenType.String)
                _text = JsonText.Read(ref reader);
            else if (reader.TokenType != JsonTokenType.Null)
                _error ??= "text is not a string";
        }

        private void ReadInputIds(ref Utf8JsonReader reader)
        {
            if (reader.TokenType == JsonTokenType.Null)
                return;
            if (reader.TokenType != JsonTokenType.StartArray)
            {
                _error ??= "inputIds is not an array of whole numbers";
                return;
            }

            _inputIds = [];
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out int id))
                {
                    _inputIds.Add(id);
                    continue;
                }

                int start = (int)reader.TokenStartIndex;
                reader.Skip();
                _error ??= $"inputIds[{_inputIds.Count}] is {Shorten(Encoding.UTF8.GetString(line.AsSpan(start, (int)reader.BytesConsumed - start)))}, "
                    + "not a whole number that can be an id";
            }
        }

        private static string Shorten(string text) => text.Length <= 60 ? text : $"{text.AsSpan(0, 60)}…";
    }
}
