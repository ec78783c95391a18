using System.Security.Cryptography;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Token by token what the paper's public code did: full depth, a static exit, and the softmax margin without pruning, where that code and this library follow
/// the same definitions (all but its threshold decay).
/// </summary>
public sealed class SeedTraceTests
{
    private const float ConfidenceTolerance = 1e-4f;

    public static TheoryData<string, string, int> Configurations()
    {
        var data = new TheoryData<string, string, int>();
        foreach (string file in new[] { "restaurants", "tiny-v11" })
        {
            foreach (JsonElement configuration in Traces(file).RootElement.GetProperty("configurations").EnumerateArray())
            {
                if (!IsComparable(configuration))
                    continue;
                data.Add(file, configuration.GetProperty("name").GetString()!, 1);
                data.Add(file, configuration.GetProperty("name").GetString()!, 5);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Configurations))]
    public void Tokens_exits_confidences_and_the_operations_it_counts_equal_the_papers_code(string file, string name, int batchSize)
    {
        string modelName = file == "restaurants" ? TestModels.Demo : TestModels.Exits;
        JsonElement traces = Traces(file).RootElement;
        string weights = Path.Combine(TestModels.Checkpoint(modelName), "model.safetensors");
        Assert.Equal(traces.GetProperty("model").GetProperty("sha256").GetString(), Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(weights))));
        JsonElement configuration = traces.GetProperty("configurations").EnumerateArray().Single(candidate => candidate.GetProperty("name").GetString() == name);
        int maxNewTokens = traces.GetProperty("generation").GetProperty("max_new_tokens").GetInt32();
        GenerationInput[] inputs = [.. traces.GetProperty("prompts").EnumerateArray().Select(prompt => GenerationInput.FromTokenIds(Ints(prompt.GetProperty("ids"))))];
        IReadOnlyList<GenerationResult> results = TestModels.Model(modelName).Generate(
            inputs,
            new TextGenerationOptions
            {
                MaxNewTokens = maxNewTokens,
                RepetitionPenalty = configuration.GetProperty("repetition_penalty").GetSingle(),
                BatchSize = batchSize,
                Trace = true,
                Exit = Policy(configuration),
            });

        int compared = 0;
        foreach (JsonElement sequence in configuration.GetProperty("sequences").EnumerateArray())
        {
            GenerationResult result = results[sequence.GetProperty("prompt").GetInt32()];
            bool isWhole = true;
            int index = 0;
            foreach (JsonElement step in sequence.GetProperty("steps").EnumerateArray())
            {
                // Decisions too close to call end the comparison of a sequence.
                if (step.TryGetProperty("near_ties", out _))
                {
                    isWhole = false;
                    break;
                }

                GenerationStep ours = result.Steps![index++];
                Assert.Equal((step.GetProperty("token").GetInt32(), step.GetProperty("exit").GetInt32()), (ours.TokenId, ours.ExitLayer));
                if (configuration.GetProperty("kind").GetString() == "early-exit")
                    CompareEvaluations(step, ours);
                compared++;
            }

            if (!isWhole)
                continue;
            Assert.Equal(Ints(sequence.GetProperty("tokens")), result.TokenIds);
            Assert.Equal(Ints(sequence.GetProperty("exits")), result.ExitLayers);
            Assert.Equal(sequence.GetProperty("stopped_by").GetString() == "eos" ? StopReason.EndOfSequence : StopReason.MaxNewTokens, result.StopReason);
            Assert.Equal(sequence.GetProperty("flop_counter").GetDouble(), result.Operations.Paper);
        }

        Assert.True(compared > 50, $"Only {compared} steps were compared.");
    }

    private static void CompareEvaluations(JsonElement step, GenerationStep ours)
    {
        Assert.Equal(Ints(step.GetProperty("layers")), ours.Evaluations.Select(evaluation => evaluation.Layer));
        Assert.Equal(Ints(step.GetProperty("rows")), ours.Evaluations.Select(evaluation => evaluation.Rows));
        int index = 0;
        foreach (JsonElement confidence in step.GetProperty("confidences").EnumerateArray())
            Assert.Equal(confidence.GetSingle(), ours.Evaluations[index++].Confidence, ConfidenceTolerance);
    }

    private static bool IsComparable(JsonElement configuration) => configuration.GetProperty("kind").GetString() switch
    {
        "plain" or "static" => true,
        "early-exit" => configuration.GetProperty("confidence").GetString() == "softmax" && configuration.GetProperty("pruning").GetString() == "none"
            && configuration.GetProperty("position_temperature").ValueKind == JsonValueKind.Null,
        _ => false,
    };

    private static ExitPolicy? Policy(JsonElement configuration) => configuration.GetProperty("kind").GetString() switch
    {
        "static" => new ExitPolicy { StaticExitLayer = configuration.GetProperty("exit_layer").GetInt32() },
        "early-exit" => new ExitPolicy { MinimumLayer = configuration.GetProperty("min_layer").GetInt32(), Threshold = configuration.GetProperty("threshold").GetSingle() },
        _ => null,
    };

    private static JsonDocument Traces(string file) => JsonDocument.Parse(File.ReadAllBytes(TestModels.Fixture("seed-traces", file + ".json")));

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(element => element.GetInt32())];
}
