using System.Text.Json;
using Microsoft.ML.EarlyExit.Scoring;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Writes rows of <c>score</c>.</summary>
/// <param name="output">Where they go.</param>
internal sealed class ScoreWriter(TextWriter output)
{
    private readonly RowWriter _row = new(output);

    /// <summary>Writes what every layer would have said.</summary>
    public void Write(GenerationRow row, IReadOnlyList<LayerScore> layers)
    {
        Utf8JsonWriter json = _row.Begin(row);
        json.WriteStartArray("layers");
        foreach (LayerScore score in layers)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", score.Layer);
            _row.WriteNumbers("argmax", score.ArgMax);
            _row.WriteNumbers("rank", score.Rank);
            _row.WriteNumbers("confidence", score.Confidence);
            _row.WriteNumbers("logProbability", score.LogProbability);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        _row.End(row);
    }

    /// <summary>Writes why a row could not be scored.</summary>
    public void Write(GenerationRow row, string error)
    {
        _row.Begin(row).WriteString("error", error);
        _row.End(row);
    }
}
