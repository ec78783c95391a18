using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Reads rows to generate from or to score, one per line. What is wrong with a line becomes a row that says so.</summary>
/// <param name="stream">The lines.</param>
/// <param name="hasTargets">Whether every row has a target: rows of <c>score</c> rather than of <c>generate</c>.</param>
internal sealed class GenerationRowReader(Stream stream, bool hasTargets = false)
{
    /// <summary>Fields that the output row states itself, now or with other options; an older run's must not stand beside them.</summary>
    private static readonly HashSet<string> s_generatedFields =
        new(StringComparer.Ordinal)
        {
            "id", "text", "inputIds", "tokenIds", "exitLayers", "confidences", "stopReason", "error", "steps", "flops", "acceptance",
        };

    /// <summary>The same for scores.</summary>
    private static readonly HashSet<string> s_scoredFields = new(StringComparer.Ordinal) { "id", "text", "inputIds", "target", "targetIds", "layers", "error" };

    private readonly LineReader _lines = new(stream);

    /// <summary>Bytes of the stream up to the end of the row read last.</summary>
    public long Position => _lines.Position;

    /// <summary>Reads the next row; blank lines are none.</summary>
    public bool TryRead(out GenerationRow row)
    {
        while (_lines.TryRead(out byte[]? line))
        {
            if (line is null)
                row = new RowFields(_lines.Number, [], hasTargets).Fail($"the line has more than {LineReader.LongestLine} bytes");
            else if (line.AsSpan().IndexOfAnyExcept(" \t\r"u8) < 0)
                continue;
            else
                row = Parse(line);
            return true;
        }

        row = null!;
        return false;
    }

    private GenerationRow Parse(byte[] line)
    {
        var fields = new RowFields(_lines.Number, line, hasTargets);
        // The reader checks only the text it is asked for, and the rest is copied as it stands.
        if (!Utf8.IsValid(line))
            return fields.Fail("it is not valid UTF-8");
        try
        {
            return fields.Read();
        }
        catch (JsonException exception)
        {
            // The line would be counted from the start of this row.
            return fields.Fail($"it is not valid JSON: {JsonProblem.Describe(exception)} (byte {exception.BytePositionInLine + 1})");
        }
    }

    /// <summary>The fields of one line as they are found.</summary>
    private sealed class RowFields(long number, byte[] line, bool hasTargets)
    {
        private readonly HashSet<string> _names = new(StringComparer.Ordinal);
        private readonly ArrayBufferWriter<byte> _others = new();
        private readonly TextOrIds _input = new("text", "inputIds");
        private readonly TextOrIds? _target = hasTargets ? new("target", "targetIds") : null;
        private readonly HashSet<string> _ownFields = hasTargets ? s_scoredFields : s_generatedFields;
        private ReadOnlyMemory<byte> _id = GenerationRow.NullId;
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
            _error ??= _input.Problem ?? _target?.Problem;
            return _error is not null
                ? Fail(_error) with { OtherFields = _others.WrittenMemory }
                : new GenerationRow(number, _id, _others.WrittenMemory, _input.Value, null) { Target = _target?.Value };
        }

        private void ReadField(ref Utf8JsonReader reader)
        {
            int start = (int)reader.TokenStartIndex;
            string name = JsonText.Read(ref reader);
            reader.Read();
            int valueStart = (int)reader.TokenStartIndex;
            bool isNew = _names.Add(name);
            if (!isNew)
                _error ??= $"the field '{JsonText.Shorten(name)}' occurs twice; give it once";
            if (isNew)
                _error ??= _input.Read(name, ref reader, line) ?? _target?.Read(name, ref reader, line);
            reader.Skip();
            int end = (int)reader.BytesConsumed;
            if (name == "id")
            {
                // Of two ids neither can be trusted.
                _id = isNew ? line.AsMemory(valueStart, end - valueStart) : GenerationRow.NullId;
            }
            else if (isNew && !_ownFields.Contains(name))
            {
                _others.Write(","u8);
                _others.Write(line.AsSpan(start, end - start));
            }
        }
    }

    /// <summary>A text, or ids in its place.</summary>
    private sealed class TextOrIds(string textName, string idsName)
    {
        private string? _text;
        private List<int>? _ids;

        /// <summary>What is wrong, now that all fields were read; null where nothing is.</summary>
        public string? Problem => (_text, _ids) switch
        {
            (null, null) => $"it has neither {textName} nor {idsName}; give one of them",
            (not null, not null) => $"it has both {textName} and {idsName}; give one of them",
            _ => null,
        };

        public GenerationInput Value => _text is not null ? GenerationInput.FromText(_text) : GenerationInput.FromTokenIds(_ids!);

        /// <summary>Reads a field's value, if it is one of the two.</summary>
        /// <returns>What is wrong with it; null where nothing is.</returns>
        public string? Read(string name, ref Utf8JsonReader reader, ReadOnlySpan<byte> line)
        {
            if (reader.TokenType == JsonTokenType.Null || (name != textName && name != idsName))
                return null;
            if (name == idsName)
                return ReadIds(ref reader, line);
            if (reader.TokenType != JsonTokenType.String)
                return $"{textName} is not a string";
            _text = JsonText.Read(ref reader);
            return null;
        }

        private string? ReadIds(ref Utf8JsonReader reader, ReadOnlySpan<byte> line)
        {
            if (reader.TokenType != JsonTokenType.StartArray)
                return $"{idsName} is not an array of whole numbers";
            _ids = [];
            string? error = null;
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out int id))
                {
                    _ids.Add(id);
                    continue;
                }

                int start = (int)reader.TokenStartIndex;
                reader.Skip();
                error ??= $"{idsName}[{_ids.Count}] is {JsonText.Shorten(Encoding.UTF8.GetString(line[start..(int)reader.BytesConsumed]))}, "
                    + "not a whole number that can be an id";
            }

            return error;
        }
    }
}
