using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Prompts that the demo model has not seen.</summary>
internal static class DemoPrompts
{
    /// <summary>The first test prompts of both tasks.</summary>
    public static IEnumerable<string> Test(int perTask) => new[] { "describe-test", "question-test" }.SelectMany(file =>
        File.ReadLines(Path.Combine(Repository.Folder, "test", "fixtures", "demo", file + ".jsonl")).Take(perTask)
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!));
}
