using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class CandidateRunnerTests
{
    public static TheoryData<string, ExitPolicy> Policies => new()
    {
        { TestModels.Demo, new ExitPolicy { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying() } },
        { TestModels.Demo, new ExitPolicy { MinimumLayer = 2, Pruning = VocabularyPruning.Adaptive() } },
        { TestModels.Demo, new ExitPolicy { Confidence = Confidence.HiddenStateSaturation } },
        { TestModels.Demo, new ExitPolicy { MinimumLayer = 3, Confidence = Confidence.JsdContrastive(), Pruning = VocabularyPruning.Fixed(500) } },
        {
            TestModels.Demo,
            new ExitPolicy { MinimumLayer = 3, Confidence = Confidence.WeightedContrastive(), StatePropagation = StatePropagation.ParallelDecoding }
        },
        { TestModels.Demo, new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 4 } } },
        { TestModels.Demo, new ExitPolicy { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying(), ThresholdTemperature = 4 } },
    };

    [Theory]
    [MemberData(nameof(Policies))]
    public void Outputs_that_are_taken_over_are_those_that_generating_gives(string model, ExitPolicy policy)
    {
        CalibrationPrompt[] prompts = Prompts(model, 6);
        var options = new TextGenerationOptions { MaxNewTokens = 12 };
        using var sharing = new CandidateRunner(TestModels.Model(model), options, prompts, CancellationToken.None);
        using var plain = new CandidateRunner(TestModels.Model(model), options, prompts, CancellationToken.None);
        CandidateOutput[]? previous = null;
        foreach (float threshold in (float[])[1, 0.99f, 0.97f, 0.9f, 0.89f, 0.5f, 0.05f, 0])
        {
            ExitPolicy candidate = policy with { Threshold = threshold };

            previous = sharing.Run(candidate, previous);

            Assert.Equal(plain.Run(candidate, null), previous);
        }

        Assert.Equal(8 * prompts.Length, plain.GeneratedCount);
        if (policy.ThresholdTemperature == 0)
            Assert.InRange(sharing.GeneratedCount, prompts.Length, plain.GeneratedCount - 1);
        else
            Assert.Equal(plain.GeneratedCount, sharing.GeneratedCount);
    }

    [Fact]
    public void Outputs_are_those_of_the_model_in_their_order()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        CalibrationPrompt[] prompts = Prompts(TestModels.Demo, 7);
        var options = new TextGenerationOptions { MaxNewTokens = 10, BatchSize = 3 };
        var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.7f, Pruning = VocabularyPruning.Decaying() };
        using var runner = new CandidateRunner(model, options, prompts, CancellationToken.None);

        CandidateOutput[] outputs = runner.Run(policy, null);

        GenerationResult[] expected =
            [.. prompts.Select(prompt => model.Generate([GenerationInput.FromTokenIds(prompt.Input.TokenIds)], options with { Exit = policy })[0])];
        Assert.Equal(expected.Select(result => result.Text), outputs.Select(output => output.Text));
        Assert.Equal(expected.Select(result => (long)result.ExitLayers.Sum()), outputs.Select(output => output.Layers));
        Assert.Equal(expected.Select(result => result.TokenIds.Count), outputs.Select(output => output.Tokens));
        Assert.Equal(expected.Select(result => result.Operations), outputs.Select(output => output.Operations));
    }

    [Fact]
    public void A_prompt_that_cannot_be_generated_is_named_by_its_row()
    {
        CalibrationPrompt[] prompts = [new(41, new PreparedInput([], 0, "The input has no token ids."), [])];
        using var runner = new CandidateRunner(TestModels.Model(TestModels.Demo), new TextGenerationOptions(), prompts, CancellationToken.None);

        Assert.StartsWith("Row 41, counted from 0, could not be generated", Assert.Throws<InvalidOperationException>(() => runner.Run(null, null)).Message);
    }

    private static CalibrationPrompt[] Prompts(string model, int count) =>
    [
        .. CalibrationRow.Read("describe", count).Select((row, index) =>
            new CalibrationPrompt(index, TestModels.Model(model).Prepare(GenerationInput.FromText(row.Prompt!), new TextGenerationOptions()), row.References)),
    ];
}
