using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class FullDepthTests
{
    [Theory]
    [InlineData(StatePropagation.StateCopy, 100)]
    [InlineData(StatePropagation.ParallelDecoding, 12)]
    public void Threshold_1_is_the_full_model_token_for_token(StatePropagation propagation, int promptsOfEach)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        GenerationInput[] prompts = [.. Prompts("describe-test", promptsOfEach), .. Prompts("question-test", promptsOfEach)];
        var full = new TextGenerationOptions { BatchSize = 8 };
        IReadOnlyList<GenerationResult> expected = model.Generate(prompts, full);
        IReadOnlyList<GenerationResult> actual = model.Generate(prompts, full with { Exit = new ExitPolicy { Threshold = 1, StatePropagation = propagation } });
        for (int row = 0; row < prompts.Length; row++)
        {
            Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
            Assert.All(actual[row].ExitLayers, layer => Assert.Equal(model.Configuration.DecoderLayerCount, layer));
        }
    }

    [Fact]
    public void The_minimum_layer_at_the_depth_is_the_full_model_too()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([5, 6, 7, 1])];
        var options = new TextGenerationOptions { MaxNewTokens = 20 };
        GenerationResult expected = model.Generate(inputs, options)[0];
        GenerationResult actual = model.Generate(inputs, options with { Exit = new ExitPolicy { MinimumLayer = 8, Threshold = 0 } })[0];
        Assert.Equal(expected.TokenIds, actual.TokenIds);
        Assert.All(actual.Confidences, confidence => Assert.True(float.IsNaN(confidence)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_text_longer_than_the_first_caches_continues_as_if_they_had_been_large(int batchSize)
    {
        // 64 tokens fill the first caches, 128 the next; a shorter run must be a prefix of a longer one.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = [.. Enumerable.Range(0, 3).Select(row => GenerationInput.FromTokenIds([.. Enumerable.Range(10 * (row + 1), 7), 1]))];
        var early = new ExitPolicy { MinimumLayer = 2, Threshold = 0.3f };
        foreach (ExitPolicy? policy in new[] { null, early, early with { StatePropagation = StatePropagation.ParallelDecoding } })
        {
            var options = new TextGenerationOptions { MaxNewTokens = 300, MinNewTokens = 300, BatchSize = batchSize, Exit = policy };
            IReadOnlyList<GenerationResult> all = model.Generate(inputs, options);
            foreach (int length in new[] { 63, 64, 65, 128, 130 })
            {
                IReadOnlyList<GenerationResult> part = model.Generate(inputs, options with { MaxNewTokens = length, MinNewTokens = length });
                for (int row = 0; row < inputs.Length; row++)
                {
                    Assert.Equal(all[row].TokenIds.Take(length), part[row].TokenIds);
                    Assert.Equal(all[row].ExitLayers.Take(length), part[row].ExitLayers);
                }
            }
        }
    }

    private static IEnumerable<GenerationInput> Prompts(string file, int count) =>
        File.ReadLines(TestModels.Fixture("demo", file + ".jsonl")).Take(count)
            .Select(line => GenerationInput.FromText(JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!));
}
