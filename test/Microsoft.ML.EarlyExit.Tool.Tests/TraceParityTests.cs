using System.Security.Cryptography;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>Decoding without confidences against the recorded behaviour of the paper's code; see the fixtures' README.</summary>
public sealed class TraceParityTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tiny-v11", "plain", "1")]
    [InlineData("tiny-v11", "plain", "4")]
    [InlineData("tiny-v11", "static", "1")]
    [InlineData("tiny-v11", "static", "4")]
    [InlineData("restaurants", "plain", "1")]
    [InlineData("restaurants", "plain", "4")]
    [InlineData("restaurants", "static", "1")]
    public void Tokens_and_exits_are_those_of_the_traces(string file, string kind, string batch)
    {
        bool isTiny = file == "tiny-v11";
        JsonElement traces = JsonDocument.Parse(File.ReadAllBytes(Repository.Fixture($"seed-traces/{file}.json"))).RootElement;
        string source = isTiny ? Repository.Fixture("models/tiny-v11-exit") : Path.Combine(Repository.Folder, "samples", "t5-restaurants");
        string digest = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(source, "model.safetensors"))));
        Assert.Equal(traces.GetProperty("model").GetProperty("sha256").GetString(), digest);

        string input = _folder.File("in.jsonl");
        File.WriteAllLines(
            input,
            traces.GetProperty("prompts").EnumerateArray()
                .Select((prompt, index) => $$"""{"id": {{index}}, "inputIds": {{prompt.GetProperty("ids").GetRawText()}}}"""));
        JsonElement[] configurations = [.. traces.GetProperty("configurations").EnumerateArray().Where(one => one.GetProperty("kind").GetString() == kind)];
        Assert.NotEmpty(configurations);
        foreach (JsonElement configuration in configurations)
        {
            string options = _folder.File("options.json");
            string penalty = configuration.GetProperty("repetition_penalty").GetRawText();
            File.WriteAllText(
                options,
                $$"""
                {"maxNewTokens": {{traces.GetProperty("generation").GetProperty("max_new_tokens")}}, "repetitionPenalty": {{penalty}} }
                """);
            string[] arguments =
                ["generate", isTiny ? models.TinyExit : models.Restaurants, "--input", input, "--options", options, "--batch", batch, "--trace"];
            if (kind == "static")
            {
                string policy = _folder.File("policy.json");
                File.WriteAllText(policy, $$"""{"staticExitLayer": {{configuration.GetProperty("exit_layer").GetRawText()}} }""");
                arguments = [.. arguments, "--policy", policy];
            }

            ToolResult result = ToolRunner.Run(arguments);
            Assert.True(result.ExitCode == 0, result.Error);
            JsonElement[] rows = result.Rows;
            foreach (JsonElement sequence in configuration.GetProperty("sequences").EnumerateArray())
            {
                JsonElement row = rows[sequence.GetProperty("prompt").GetInt32()];
                // From the first decision on that was too close to call, the sequences may part.
                int comparable = sequence.GetProperty("steps").EnumerateArray().TakeWhile(step => !step.TryGetProperty("near_ties", out _)).Count();
                bool isWhole = comparable == sequence.GetProperty("steps").GetArrayLength();
                Assert.Equal(Numbers(sequence, "tokens", comparable), Numbers(row, "tokenIds", isWhole ? int.MaxValue : comparable));
                Assert.Equal(Numbers(sequence, "exits", comparable), Numbers(row, "exitLayers", isWhole ? int.MaxValue : comparable));
                Assert.Equal(row.GetProperty("tokenIds").GetArrayLength(), row.GetProperty("steps").GetArrayLength());
                if (isWhole)
                    Assert.Equal(
                        sequence.GetProperty("stopped_by").GetString() == "eos" ? "endOfSequence" : "maxNewTokens",
                        row.GetProperty("stopReason").GetString());
            }
        }
    }

    private static IEnumerable<int> Numbers(JsonElement element, string name, int count) =>
        element.GetProperty(name).EnumerateArray().Take(count).Select(number => number.GetInt32());
}
