using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Writes output rows, one per line, each in one write: the input row's id first, the fields that only pass through last.</summary>
/// <param name="output">Where they go.</param>
internal sealed class RowWriter(TextWriter output)
{
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json = new(Stream.Null, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>Begins the output of a row.</summary>
    /// <returns>What its own fields are written with.</returns>
    public Utf8JsonWriter Begin(GenerationRow row)
    {
        _line.ResetWrittenCount();
        _json.Reset(_line);
        _json.WriteStartObject();
        _json.WritePropertyName("id");
        _json.WriteRawValue(row.Id.Span, skipInputValidation: true);
        return _json;
    }

    /// <summary>Ends the output of a row.</summary>
    public void End(GenerationRow row)
    {
        _json.Flush();
        // The other fields go out byte for byte, and so past the writer, which has not ended the object.
        _line.Write(row.OtherFields.Span);
        _line.Write("}\n"u8);
        output.Write(Encoding.UTF8.GetString(_line.WrittenSpan));
    }

    public void WriteNumbers(string name, IReadOnlyList<int> numbers)
    {
        _json.WriteStartArray(name);
        foreach (int number in numbers)
            _json.WriteNumberValue(number);
        _json.WriteEndArray();
    }

    public void WriteNumbers(string name, IReadOnlyList<float> numbers)
    {
        _json.WriteStartArray(name);
        foreach (float number in numbers)
            WriteNumber(_json, number);
        _json.WriteEndArray();
    }

    /// <summary>Writes a number; JSON has no NaN.</summary>
    public static void WriteNumber(Utf8JsonWriter json, float number)
    {
        if (float.IsFinite(number))
            json.WriteNumberValue(number);
        else
            json.WriteNullValue();
    }
}
