using System.Security.Cryptography;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Token by token what the paper's public code did, with <see cref="ExitPolicy.ReferenceCompatible"/>: full depth, a static exit, every measure with every
/// pruning, and FREE's shallow-deep mode.
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
                string name = configuration.GetProperty("name").GetString()!;
                data.Add(file, name, 5);

                // Of the larger model one batch size will do: rows do not depend on it.
                if (file == "tiny-v11")
                    data.Add(file, name, 1);
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
        JsonElement configuration = traces.GetProperty("configurations").EnumerateArray()
            .Single(candidate => candidate.GetProperty("name").GetString() == name);
        int maxNewTokens = traces.GetProperty("generation").GetProperty("max_new_tokens").GetInt32();
        GenerationInput[] inputs =
            [.. traces.GetProperty("prompts").EnumerateArray().Select(prompt => GenerationInput.FromTokenIds(Ints(prompt.GetProperty("ids"))))];
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

            // An adaptive count is the floor of a product with a confidence, so that rounding can shift it by a row; of a single exit that code counts nothing.
            double paper = sequence.GetProperty("flop_counter").GetDouble();
            bool isAdaptive = configuration.TryGetProperty("pruning", out JsonElement pruning) && pruning.GetString() == "adaptive";
            if (configuration.GetProperty("kind").GetString()?.StartsWith("shallow-deep", StringComparison.Ordinal) != true)
                Assert.Equal(paper, result.Operations.Paper, isAdaptive ? 1e-3 * paper : 0);
        }

        Assert.True(compared > 30, $"Only {compared} steps were compared.");
    }

    private static void CompareEvaluations(JsonElement step, GenerationStep ours)
    {
        Assert.Equal(Ints(step.GetProperty("layers")), ours.Evaluations.Select(evaluation => evaluation.Layer));

        // A list that ends between two almost equal logits may differ by a token.
        bool isLoose = step.TryGetProperty("list_gap", out JsonElement gap) && gap.ValueKind == JsonValueKind.Number && gap.GetDouble() < 1e-4;
        if (!isLoose)
            Assert.Equal(Ints(step.GetProperty("rows")), ours.Evaluations.Select(evaluation => evaluation.Rows));
        int index = 0;
        foreach (JsonElement confidence in step.GetProperty("confidences").EnumerateArray())
        {
            float actual = ours.Evaluations[index++].Confidence;
            if (confidence.ValueKind == JsonValueKind.Null)
                Assert.Equal(float.NaN, actual);
            else
                Assert.Equal(confidence.GetSingle(), actual, isLoose ? 1e-2f : ConfidenceTolerance);
        }
    }

    private static bool IsComparable(JsonElement configuration) =>
        configuration.GetProperty("kind").GetString() is "plain" or "static" or "early-exit" or "shallow-deep-copy" or "shallow-deep-parallel";

    private static ExitPolicy? Policy(JsonElement configuration) => configuration.GetProperty("kind").GetString() switch
    {
        "plain" => null,
        "static" => new ExitPolicy { StaticExitLayer = configuration.GetProperty("exit_layer").GetInt32() },
        "early-exit" => new ExitPolicy
        {
            MinimumLayer = configuration.GetProperty("min_layer").GetInt32(),
            Threshold = configuration.GetProperty("threshold").GetSingle(),
            ThresholdTemperature = configuration.GetProperty("position_temperature") is { ValueKind: JsonValueKind.Number } temperature
                ? temperature.GetSingle()
                : 0,
            Confidence = configuration.GetProperty("confidence").GetString() switch
            {
                "weighted" => Confidence.WeightedContrastive(),
                "jsd" => Confidence.JsdContrastive(),
                _ => Confidence.SoftmaxMargin,
            },
            Pruning = configuration.GetProperty("pruning").GetString() switch
            {
                "fixed" => VocabularyPruning.Fixed(),
                "decaying" => VocabularyPruning.Decaying(),
                "adaptive" => VocabularyPruning.Adaptive(),
                _ => VocabularyPruning.None,
            },
            ReferenceCompatible = true,
        },
        _ => new ExitPolicy
        {
            ShallowDeep = new ShallowDeep { ExitLayer = configuration.GetProperty("exit_layer").GetInt32() },
            Threshold = configuration.GetProperty("threshold").GetSingle(),
            StatePropagation = configuration.GetProperty("kind").GetString() == "shallow-deep-parallel"
                ? StatePropagation.ParallelDecoding
                : StatePropagation.StateCopy,
            ReferenceCompatible = true,
        },
    };

    private static JsonDocument Traces(string file) => JsonDocument.Parse(File.ReadAllBytes(TestModels.Fixture("seed-traces", file + ".json")));

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(element => element.GetInt32())];
}
