using System.Text.Json;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A prompt of the demo's tasks with a reference, in texts and in ids.</summary>
internal sealed class TrainingRow
{
    public string? Prompt { get; set; }

    public string? Reference { get; set; }

    [VectorType]
    public int[] PromptIds { get; set; } = [];

    [VectorType]
    public int[] ReferenceIds { get; set; } = [];

    /// <summary>Prompts that ask for descriptions, and their first references.</summary>
    public static TrainingRow[] Read(int count)
    {
        T5Tokenizer tokenizer = TestModels.Model(TestModels.Demo).Tokenizer!;
        return
        [
            .. File.ReadLines(TestModels.Fixture("demo", "describe-calibration.jsonl")).Take(count).Select(line =>
            {
                using JsonDocument json = JsonDocument.Parse(line);
                string prompt = json.RootElement.GetProperty("text").GetString()!;
                string reference = json.RootElement.GetProperty("references")[0].GetString()!;
                return new TrainingRow
                {
                    Prompt = prompt,
                    Reference = reference,
                    PromptIds = [.. tokenizer.Encode(prompt)],
                    ReferenceIds = [.. tokenizer.Encode(reference)],
                };
            }),
        ];
    }
}
