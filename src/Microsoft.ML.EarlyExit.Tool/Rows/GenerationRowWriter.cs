using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Writes rows of <c>generate</c>, one per line, each in one write.</summary>
/// <param name="output">Where they go.</param>
/// <param name="writesOperations">Whether every row states its floating-point operations.</param>
/// <param name="writesAcceptance">Whether every row states the share of its drafts that was accepted; null where there were none.</param>
internal sealed class GenerationRowWriter(TextWriter output, bool writesOperations, bool writesAcceptance = false)
{
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json = new(Stream.Null, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>Writes what came of a row.</summary>
    public void Write(GenerationRow row, GenerationResult result)
    {
        _line.ResetWrittenCount();
        _json.Reset(_line);
        _json.WriteStartObject();
        _json.WritePropertyName("id");
        _json.WriteRawValue(row.Id.Span, skipInputValidation: true);
        _json.WriteString("text", result.Text);
        WriteNumbers("tokenIds", result.TokenIds);
        WriteNumbers("exitLayers", result.ExitLayers);
        _json.WriteStartArray("confidences");
        foreach (float confidence in result.Confidences)
            WriteConfidence(confidence);
        _json.WriteEndArray();
        _json.WriteString("stopReason", Name(result.StopReason));
        if (writesAcceptance && result.DraftedTokens > 0)
            _json.WriteNumber("acceptance", (double)result.AcceptedTokens / result.DraftedTokens);
        else if (writesAcceptance)
            _json.WriteNull("acceptance");
        if (result.Error is { } error)
            _json.WriteString("error", error);
        if (result.Steps is { } steps)
            WriteSteps(steps);
        if (writesOperations)
            WriteOperations(result.Operations);
        _json.Flush();
        // The other fields go out byte for byte, and so past the writer, which has not ended the object.
        _line.Write(row.OtherFields.Span);
        _line.Write("}\n"u8);
        output.Write(Encoding.UTF8.GetString(_line.WrittenSpan));
    }

    private static string Name(StopReason reason) => reason switch
    {
        StopReason.EndOfSequence => "endOfSequence",
        StopReason.MaxNewTokens => "maxNewTokens",
        StopReason.Error => "error",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "The stop reason has no name."),
    };

    private void WriteSteps(IReadOnlyList<GenerationStep> steps)
    {
        _json.WriteStartArray("steps");
        foreach (GenerationStep step in steps)
        {
            _json.WriteStartObject();
            _json.WriteNumber("tokenId", step.TokenId);
            _json.WriteNumber("exitLayer", step.ExitLayer);
            _json.WriteStartArray("evaluations");
            foreach (ConfidenceEvaluation evaluation in step.Evaluations)
            {
                _json.WriteStartObject();
                _json.WriteNumber("layer", evaluation.Layer);
                _json.WritePropertyName("confidence");
                WriteConfidence(evaluation.Confidence);
                _json.WriteNumber("rows", evaluation.Rows);
                if (evaluation.AmateurLayer is { } amateur)
                    _json.WriteNumber("amateurLayer", amateur);
                else
                    _json.WriteNull("amateurLayer");
                _json.WriteEndObject();
            }

            _json.WriteEndArray();
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
    }

    private void WriteOperations(OperationCounts operations)
    {
        _json.WriteStartObject("flops");
        _json.WriteNumber("decoder", operations.Decoder);
        _json.WriteNumber("statePropagation", operations.StatePropagation);
        _json.WriteNumber("confidence", operations.Confidence);
        _json.WriteNumber("head", operations.Head);
        _json.WriteNumber("paper", operations.Paper);
        _json.WriteEndObject();
    }

    private void WriteNumbers(string name, IReadOnlyList<int> numbers)
    {
        _json.WriteStartArray(name);
        foreach (int number in numbers)
            _json.WriteNumberValue(number);
        _json.WriteEndArray();
    }

    // JSON has no NaN.
    private void WriteConfidence(float confidence)
    {
        if (float.IsFinite(confidence))
            _json.WriteNumberValue(confidence);
        else
            _json.WriteNullValue();
    }
}
