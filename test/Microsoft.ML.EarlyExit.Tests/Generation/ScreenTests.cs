using Microsoft.ML.EarlyExit.Head;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A model whose head has a screen generates what it generates without.</summary>
public sealed class ScreenTests
{
    private static readonly GenerationInput[] s_inputs =
    [
        GenerationInput.FromText("describe: name[The Waterman], eatType[pub], food[Indian], priceRange[high], area[riverside]"),
        GenerationInput.FromText("describe: name[The Eagle], food[French], customer rating[5 out of 5], familyFriendly[yes], near[Burger King]"),
        GenerationInput.FromText("describe: name[Blue Spice], priceRange[cheap]"),
    ];

    public static TheoryData<string> Policies => [.. Named.Keys];

    private static Dictionary<string, TextGenerationOptions> Named { get; } = new()
    {
        ["full depth"] = new TextGenerationOptions(),
        ["options that change logits"] = new TextGenerationOptions { RepetitionPenalty = 1.3f, NoRepeatNgramSize = 2, MinNewTokens = 40 },
        ["a penalty that is none"] = new TextGenerationOptions { RepetitionPenalty = 0.8f, MaxNewTokens = 20 },
        ["margin"] = Exit(new ExitPolicy { Threshold = 0.9f, MinimumLayer = 4 }),
        ["margin, low"] = Exit(new ExitPolicy { Threshold = 0.4f, MinimumLayer = 2 }) with { RepetitionPenalty = 1.2f },
        ["decaying"] = Exit(new ExitPolicy { Threshold = 0.9f, MinimumLayer = 4, Pruning = VocabularyPruning.Decaying() }),
        ["fixed, few"] = Exit(new ExitPolicy { Threshold = 0.7f, MinimumLayer = 3, Pruning = VocabularyPruning.Fixed(10) }),
        ["some layers"] = Exit(new ExitPolicy { Threshold = 0.8f, MinimumLayer = 2, AskLayers = [3, 5, 9] }),
        ["some layers, decaying"] = Exit(
            new ExitPolicy { Threshold = 0.8f, AskLayers = [3, 5, 9], Pruning = VocabularyPruning.Decaying(), FullVocabularyAtLastLayer = false }),
        ["near the previous exit"] = Exit(new ExitPolicy { Threshold = 0.8f, MinimumLayer = 3, AskNearPrevious = 1 }),
        ["near the previous exit, fixed"] = Exit(
            new ExitPolicy { Threshold = 0.8f, MinimumLayer = 3, AskNearPrevious = 2, Pruning = VocabularyPruning.Fixed(50) }),
        ["adaptive"] = Exit(new ExitPolicy { Threshold = 0.8f, MinimumLayer = 4, Pruning = VocabularyPruning.Adaptive() }),
        ["traced"] = Exit(new ExitPolicy { Threshold = 0.9f, MinimumLayer = 6, Pruning = VocabularyPruning.Decaying() }) with { Trace = true },
        ["saturation"] = Exit(new ExitPolicy { Threshold = 0.95f, Confidence = Confidence.HiddenStateSaturation }),
        ["contrastive"] = Exit(new ExitPolicy { Threshold = 0.5f, MinimumLayer = 4, Confidence = Confidence.JsdContrastive() }),
        ["speculation"] = Exit(new ExitPolicy { StaticExitLayer = 4, SelfSpeculation = new SelfSpeculation() }) with { NoRepeatNgramSize = 3 },
        ["one exit, learned"] = Exit(new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 4, AdaptiveThreshold = true } }),
    };

    [Theory]
    [MemberData(nameof(Policies))]
    public void Tokens_layers_and_operations_are_the_same_and_confidences_to_a_hundred_thousandth(string name)
    {
        using EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Demo));
        HeadScreen screen = Assert.IsType<HeadScreen>(model.Head.Screen);
        foreach (int batchSize in new[] { 1, 3 })
        {
            TextGenerationOptions options = Named[name] with { BatchSize = batchSize };
            model.Head.Screen = null;
            IReadOnlyList<GenerationResult> expected = model.Generate(s_inputs, options);
            model.Head.Screen = screen;
            IReadOnlyList<GenerationResult> actual = model.Generate(s_inputs, options);
            for (int row = 0; row < s_inputs.Length; row++)
            {
                Assert.Null(actual[row].Error);
                Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
                Assert.Equal(expected[row].ExitLayers, actual[row].ExitLayers);
                Assert.Equal(expected[row].Operations, actual[row].Operations);
                AssertClose(expected[row].Confidences, actual[row].Confidences);
                foreach ((GenerationStep one, GenerationStep other) in (expected[row].Steps ?? []).Zip(actual[row].Steps ?? []))
                    AssertClose([.. one.Evaluations.Select(at => at.Confidence)], [.. other.Evaluations.Select(at => at.Confidence)]);
            }
        }

        (long estimated, long again) = Enumerable.Range(1, 12).Select(model.Head.Counts.After)
            .Aggregate((0L, 0L), (sum, layer) => (sum.Item1 + layer.Estimated, sum.Item2 + layer.Again));
        Assert.True(estimated > 0 && again < estimated);
    }

    private static void AssertClose(IReadOnlyList<float> expected, IReadOnlyList<float> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        for (int index = 0; index < expected.Count; index++)
            Assert.Equal(expected[index], actual[index], 1.1e-5);
    }

    private static TextGenerationOptions Exit(ExitPolicy policy) => new() { Exit = policy };
}
