using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Prompts that the demo model has not seen.</summary>
internal static class DemoPrompts
{
    /// <summary>The first test prompts of both tasks.</summary>
    public static IEnumerable<string> Test(int perTask) => new[] { "describe-test", "question-test" }.SelectMany(file => Read(file, perTask));

    /// <summary>The first test prompts for descriptions: some tens of tokens in, some tens out.</summary>
    public static IEnumerable<string> Descriptions(int count) => Read("describe-test", count);

    private static IEnumerable<string> Read(string file, int count) =>
        File.ReadLines(Path.Combine(Repository.Folder, "test", "fixtures", "demo", file + ".jsonl")).Take(count)
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!);
}
