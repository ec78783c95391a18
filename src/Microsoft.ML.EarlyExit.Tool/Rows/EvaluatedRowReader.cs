using System.Text.Json;
using System.Text.Unicode;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Reads lines to evaluate. What is wrong with a line becomes a row that says so.</summary>
/// <param name="stream">The lines.</param>
/// <param name="kind">What they are read for.</param>
internal sealed class EvaluatedRowReader(Stream stream, EvaluationKind kind)
{
    private static readonly JsonDocumentOptions s_options = new() { AllowDuplicateProperties = false };

    private readonly LineReader _lines = new(stream);

    /// <summary>Bytes of the stream up to the end of the row read last.</summary>
    public long Position => _lines.Position;

    /// <summary>Reads the next row; blank lines are none.</summary>
    public bool TryRead(out EvaluatedRow row)
    {
        while (_lines.TryRead(out byte[]? line))
        {
            if (line is not null && line.AsSpan().IndexOfAnyExcept(" \t\r"u8) < 0)
                continue;
            row = Read(line);
            return true;
        }

        row = null!;
        return false;
    }

    private EvaluatedRow Read(byte[]? line)
    {
        if (line is null)
            return Fail(RowProblem.Failed, $"the line has more than {LineReader.LongestLine} bytes");
        if (!Utf8.IsValid(line))
            return Fail(RowProblem.Failed, "it is not valid UTF-8");
        try
        {
            using var document = JsonDocument.Parse(line, s_options);
            return document.RootElement.ValueKind == JsonValueKind.Object ? Read(document.RootElement) : Fail(RowProblem.Failed, "it is not a JSON object");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The line would be counted from the start of this row. The other kind is of names with half of a surrogate pair.
            string place = exception is JsonException { BytePositionInLine: { } at } ? $" (byte {at + 1})" : "";
            return Fail(RowProblem.Failed, $"it is not valid JSON: {JsonProblem.Describe(exception)}{place}");
        }
        catch (FormatException exception)
        {
            return Fail(RowProblem.Failed, exception.Message);
        }
    }

    private EvaluatedRow Read(JsonElement fields)
    {
        string? stopReason = Text(fields, "stopReason");
        if (stopReason == "error")
            return Fail(RowProblem.Failed, "its generation failed") with { StopReason = stopReason };
        if (kind == EvaluationKind.Exits)
            return new EvaluatedRow(_lines.Number) { ExitLayers = ExitLayers(fields), Operations = Operations(fields), StopReason = stopReason };

        string? prediction = Text(fields, "prediction") ?? Text(fields, "text");
        if (prediction is null)
            return Fail(RowProblem.MissingPrediction, "it has neither prediction nor text");
        string[] references = kind == EvaluationKind.Squad ? ReferenceFields.Read(fields, "answers") : ReferenceFields.Read(fields, "reference", "references");
        return references.Length > 0
            ? new EvaluatedRow(_lines.Number) { Prediction = prediction, References = references, StopReason = stopReason }
            : Fail(RowProblem.MissingReference, kind == EvaluationKind.Squad ? "it has no answers" : "it has neither reference nor references");
    }

    private EvaluatedRow Fail(RowProblem problem, string error) => new(_lines.Number, problem, $"line {_lines.Number}: {error}.");

    private static string? Text(JsonElement fields, string name)
    {
        if (!fields.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return null;
        return value.ValueKind == JsonValueKind.String ? JsonText.Read(value) : throw new FormatException($"{name} is not a string");
    }

    private static int[] ExitLayers(JsonElement fields)
    {
        if (!fields.TryGetProperty("exitLayers", out JsonElement value) || value.ValueKind != JsonValueKind.Array)
            throw new FormatException("it has no array exitLayers, as generate writes it");
        int[] layers = new int[value.GetArrayLength()];
        int index = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out layers[index]) || layers[index] is < 1 or > T5ConfigurationLimits.LayerCount)
                throw new FormatException($"exitLayers[{index}] is not a number of layers from 1 to {T5ConfigurationLimits.LayerCount}");
            index++;
        }

        return layers;
    }

    private static OperationCounts? Operations(JsonElement fields)
    {
        if (!fields.TryGetProperty("flops", out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return null;
        return value.ValueKind != JsonValueKind.Object
            ? throw new FormatException("flops is not an object")
            : new OperationCounts(Number("decoder"), Number("statePropagation"), Number("confidence"), Number("head"), Number("paper"));

        long Number(string name) =>
            value.TryGetProperty(name, out JsonElement item) && item.ValueKind == JsonValueKind.Number && item.TryGetInt64(out long number) && number >= 0
                ? number
                : throw new FormatException($"flops.{name} is not a whole number of operations");
    }
}
