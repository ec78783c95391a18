using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Prompts of the demo model's tasks.</summary>
internal static class DemoPrompts
{
    /// <summary>The first prompts of a file of the fixtures.</summary>
    public static IEnumerable<GenerationInput> Read(string file, int count) =>
        File.ReadLines(TestModels.Fixture("demo", file + ".jsonl")).Take(count)
            .Select(line => GenerationInput.FromText(JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!));
}
