using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A prompt of the demo's tasks with its references or answers.</summary>
internal sealed class CalibrationRow
{
    public string? Prompt { get; set; }

    public string[] References { get; set; } = [];

    public static CalibrationRow[] Read(string task, int count) =>
    [
        .. File.ReadLines(TestModels.Fixture("demo", $"{task}-calibration.jsonl")).Take(count).Select(line =>
        {
            using JsonDocument json = JsonDocument.Parse(line);
            JsonElement references = json.RootElement.TryGetProperty("references", out JsonElement several) ? several : json.RootElement.GetProperty("answers");
            return new CalibrationRow
            {
                Prompt = json.RootElement.GetProperty("text").GetString(),
                References = [.. references.EnumerateArray().Select(reference => reference.GetString()!)],
            };
        }),
    ];
}
