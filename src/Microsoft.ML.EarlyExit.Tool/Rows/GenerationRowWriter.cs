using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Writes rows of <c>generate</c>, one per line, each in one write.</summary>
/// <param name="output">Where they go.</param>
/// <param name="writesOperations">Whether every row states its floating-point operations.</param>
/// <param name="writesAcceptance">Whether every row states the share of its drafts that was accepted; null where there were none.</param>
internal sealed class GenerationRowWriter(TextWriter output, bool writesOperations, bool writesAcceptance = false)
{
    private readonly RowWriter _row = new(output);

    /// <summary>Writes what came of a row.</summary>
    public void Write(GenerationRow row, GenerationResult result)
    {
        Utf8JsonWriter json = _row.Begin(row);
        json.WriteString("text", result.Text);
        _row.WriteNumbers("tokenIds", result.TokenIds);
        _row.WriteNumbers("exitLayers", result.ExitLayers);
        _row.WriteNumbers("confidences", result.Confidences);
        json.WriteString("stopReason", Name(result.StopReason));
        if (writesAcceptance && result.DraftedTokens > 0)
            json.WriteNumber("acceptance", (double)result.AcceptedTokens / result.DraftedTokens);
        else if (writesAcceptance)
            json.WriteNull("acceptance");
        if (result.Error is { } error)
            json.WriteString("error", error);
        if (result.Steps is { } steps)
            WriteSteps(json, steps);
        if (writesOperations)
            WriteOperations(json, result.Operations);
        _row.End(row);
    }

    private static string Name(StopReason reason) => reason switch
    {
        StopReason.EndOfSequence => "endOfSequence",
        StopReason.MaxNewTokens => "maxNewTokens",
        StopReason.Error => "error",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "The stop reason has no name."),
    };

    private static void WriteSteps(Utf8JsonWriter json, IReadOnlyList<GenerationStep> steps)
    {
        json.WriteStartArray("steps");
        foreach (GenerationStep step in steps)
        {
            json.WriteStartObject();
            json.WriteNumber("tokenId", step.TokenId);
            json.WriteNumber("exitLayer", step.ExitLayer);
            json.WriteStartArray("evaluations");
            foreach (ConfidenceEvaluation evaluation in step.Evaluations)
            {
                json.WriteStartObject();
                json.WriteNumber("layer", evaluation.Layer);
                json.WritePropertyName("confidence");
                RowWriter.WriteNumber(json, evaluation.Confidence);
                json.WriteNumber("rows", evaluation.Rows);
                if (evaluation.AmateurLayer is { } amateur)
                    json.WriteNumber("amateurLayer", amateur);
                else
                    json.WriteNull("amateurLayer");
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteOperations(Utf8JsonWriter json, OperationCounts operations)
    {
        json.WriteStartObject("flops");
        json.WriteNumber("decoder", operations.Decoder);
        json.WriteNumber("statePropagation", operations.StatePropagation);
        json.WriteNumber("confidence", operations.Confidence);
        json.WriteNumber("head", operations.Head);
        json.WriteNumber("paper", operations.Paper);
        json.WriteEndObject();
    }
}
