using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Writes what an evaluation found, as JSON.</summary>
/// <param name="kind">What was evaluated.</param>
internal sealed class EvaluationWriter(EvaluationKind kind)
{
    private readonly MemoryStream _bytes = new();

    /// <summary>The line of a row.</summary>
    public string Row(EvaluatedRow row, in RowScores scores)
    {
        _bytes.SetLength(0);
        using (Utf8JsonWriter json = Create(isIndented: false))
        {
            json.WriteStartObject();
            if (row.Error is not null)
                json.WriteString("error", row.Error);
            else
                WriteRow(json, row, scores);
            json.WriteEndObject();
        }

        return Written();
    }

    /// <summary>The object of the whole.</summary>
    public string Corpus(TextGenerationMetrics metrics, IReadOnlyDictionary<string, long> stopReasons, bool writesOperations)
    {
        _bytes.SetLength(0);
        using (Utf8JsonWriter json = Create(isIndented: true))
        {
            json.WriteStartObject();
            json.WriteNumber("rows", metrics.RowCount);
            json.WriteNumber("badRows", metrics.BadRowCount);
            switch (kind)
            {
                case EvaluationKind.Rouge:
                    WriteRouge(json, metrics.Rouge);
                    json.WriteNumber("letters", metrics.RougeTexts?.LetterCount ?? 0);
                    json.WriteNumber("droppedLetters", metrics.RougeTexts?.DroppedLetterCount ?? 0);
                    json.WriteNumber("mostLines", metrics.RougeTexts?.MostLines ?? 0);
                    break;
                case EvaluationKind.Squad:
                    WriteNumber(json, "exactMatch", metrics.ExactMatch);
                    WriteNumber(json, "f1", metrics.F1);
                    break;
                case EvaluationKind.Bleu:
                    WriteBleu(json, metrics.Bleu);
                    break;
                case EvaluationKind.Chrf:
                    WriteChrf(json, metrics.Chrf);
                    break;
                case EvaluationKind.Exits:
                    WriteExits(json, metrics, stopReasons, writesOperations);
                    break;
            }

            if (metrics.ConfidenceIntervals.Count > 0)
                WriteIntervals(json, metrics.ConfidenceIntervals, writesOperations);
            json.WriteEndObject();
        }

        return Written();
    }

    private static void WriteRouge(Utf8JsonWriter json, RougeScores? scores)
    {
        Write("rouge1", scores?.Rouge1);
        Write("rouge2", scores?.Rouge2);
        Write("rougeL", scores?.RougeL);
        Write("rougeLsum", scores?.RougeLsum);

        void Write(string name, RougeScore? score)
        {
            json.WriteStartObject(name);
            WriteNumber(json, "precision", score?.Precision);
            WriteNumber(json, "recall", score?.Recall);
            WriteNumber(json, "fMeasure", score?.FMeasure);
            json.WriteEndObject();
        }
    }

    private static void WriteBleu(Utf8JsonWriter json, BleuScore? bleu)
    {
        WriteNumber(json, "score", bleu?.Score);
        json.WritePropertyName("precisions");
        WriteArray(json, bleu?.Precisions ?? []);
        WriteNumber(json, "brevityPenalty", bleu?.BrevityPenalty);
        WriteNumber(json, "predictionLength", bleu?.PredictionLength);
        WriteNumber(json, "referenceLength", bleu?.ReferenceLength);
        json.WriteString("signature", bleu?.Signature);
    }

    private static void WriteChrf(Utf8JsonWriter json, ChrfScore? chrf)
    {
        WriteNumber(json, "score", chrf?.Score);
        WriteNumber(json, "precision", chrf?.Precision);
        WriteNumber(json, "recall", chrf?.Recall);
        json.WriteString("signature", chrf?.Signature);
    }

    private static void WriteExits(Utf8JsonWriter json, TextGenerationMetrics metrics, IReadOnlyDictionary<string, long> stopReasons, bool writesOperations)
    {
        json.WriteNumber("tokens", metrics.Exits?.TokenCount ?? 0);
        WriteNumber(json, "meanExitLayer", metrics.Exits?.MeanExitLayer);
        json.WriteStartObject("histogram");
        foreach ((int layer, long count) in (metrics.Exits?.Histogram ?? []).Index())
        {
            if (count > 0)
                json.WriteNumber($"{layer}", count);
        }

        json.WriteEndObject();
        json.WritePropertyName("meanExitLayerByPosition");
        WriteArray(json, metrics.Exits?.MeanExitLayerByPosition ?? []);
        json.WriteStartObject("stopReasons");
        foreach ((string reason, long count) in stopReasons)
            json.WriteNumber(reason, count);
        json.WriteEndObject();
        if (!writesOperations || metrics.Operations is not { } operations)
            return;
        json.WriteStartObject("meanFlops");
        WriteNumber(json, "decoder", operations.Decoder);
        WriteNumber(json, "statePropagation", operations.StatePropagation);
        WriteNumber(json, "confidence", operations.Confidence);
        WriteNumber(json, "head", operations.Head);
        WriteNumber(json, "paper", operations.Paper);
        json.WriteEndObject();
    }

    private static void WriteIntervals(Utf8JsonWriter json, IReadOnlyDictionary<string, ConfidenceInterval> intervals, bool writesOperations)
    {
        json.WriteStartObject("intervals");
        foreach ((string path, ConfidenceInterval interval) in intervals)
        {
            // By the figure's place in this object, which is not quite that in the metrics.
            string[] names = [.. path.Split('.').Select(JsonNamingPolicy.CamelCase.ConvertName)];
            if (names[0] == "operations" && !writesOperations)
                continue;
            json.WritePropertyName(names[0] == "operations" ? $"meanFlops.{names[1]}" : string.Join('.', names[(names.Length == 1 ? 0 : 1)..]));
            WriteArray(json, [interval.Lower, interval.Upper]);
        }

        json.WriteEndObject();
    }

    private void WriteRow(Utf8JsonWriter json, EvaluatedRow row, in RowScores scores)
    {
        switch (kind)
        {
            case EvaluationKind.Rouge:
                WriteRouge(json, scores.Rouge);
                break;
            case EvaluationKind.Squad:
                json.WriteNumber("exactMatch", scores.Squad.ExactMatch);
                json.WriteNumber("f1", scores.Squad.F1);
                break;
            case EvaluationKind.Exits:
                json.WriteNumber("tokens", row.ExitLayers.Length);
                WriteNumber(json, "meanExitLayer", row.ExitLayers.Length == 0 ? double.NaN : row.ExitLayers.Average());
                break;
        }
    }

    private Utf8JsonWriter Create(bool isIndented) =>
        new(_bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = isIndented });

    private string Written() => Encoding.UTF8.GetString(_bytes.GetBuffer().AsSpan(0, (int)_bytes.Length));

    private static void WriteNumber(Utf8JsonWriter json, string name, double? value)
    {
        json.WritePropertyName(name);
        WriteValue(json, value ?? double.NaN);
    }

    // On one line, also where the rest is not.
    private static void WriteArray(Utf8JsonWriter json, IReadOnlyList<double> values) =>
        json.WriteRawValue($"[{string.Join(", ", values.Select(value => JsonSerializer.Serialize<double?>(double.IsFinite(value) ? value : null)))}]");

    // JSON has no NaN.
    private static void WriteValue(Utf8JsonWriter json, double value)
    {
        if (double.IsFinite(value))
            json.WriteNumberValue(value);
        else
            json.WriteNullValue();
    }
}
