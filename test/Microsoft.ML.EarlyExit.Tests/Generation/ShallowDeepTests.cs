using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>FREE's single exit, and its threshold that adapts.</summary>
public sealed class ShallowDeepTests
{
    private static readonly ExitPolicy s_adaptive = new()
    {
        ShallowDeep = new ShallowDeep { ExitLayer = 4, AdaptiveThreshold = true },
        Threshold = 1,
        StatePropagation = StatePropagation.ParallelDecoding,
    };

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public void Tokens_leave_after_the_shallow_layer_or_the_last(StatePropagation propagation)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 30,
            Trace = true,
            Exit = new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 5 }, Threshold = 0.7f, StatePropagation = propagation },
        };

        GenerationStep[] steps = [.. model.Generate(Inputs(5), options, TestContext.Current.CancellationToken).SelectMany(result => result.Steps!)];

        Assert.Equal([5, 12], steps.Select(step => step.ExitLayer).Distinct().Order());
        Assert.All(steps, step => Assert.Equal(step.ExitLayer == 5, Assert.Single(step.Evaluations).Confidence > 0.7f));
    }

    [Fact]
    public void The_threshold_is_learned_from_batch_to_batch()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var options = new TextGenerationOptions { MaxNewTokens = 30, BatchSize = 4, Exit = s_adaptive };
        GenerationInput[] inputs = Inputs(24);

        IReadOnlyList<GenerationResult> first = model.Generate(inputs, options, TestContext.Current.CancellationToken);
        IReadOnlyList<GenerationResult> again = model.Generate(inputs, options, TestContext.Current.CancellationToken);

        // At threshold 1 the first batch runs all layers; what it tells lowers the threshold, and later ones do not.
        Assert.All(first.Take(4), row => Assert.All(row.ExitLayers, layer => Assert.Equal(12, layer)));
        Assert.Contains(first.Skip(8), row => row.ExitLayers.Contains(4));

        // Nothing of it stays with the model.
        Assert.Equal(first.Select(row => row.ExitLayers), again.Select(row => row.ExitLayers));
    }

    [Fact]
    public void The_threshold_of_a_batch_is_the_one_that_its_comparisons_give()
    {
        // One row at a time, so that the state after every row can be followed with the same class.
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        GenerationInput[] inputs = Inputs(12);
        var options = new TextGenerationOptions { MaxNewTokens = 30, Trace = true, Exit = s_adaptive };
        IReadOnlyList<GenerationResult> results = model.Generate(inputs, options, TestContext.Current.CancellationToken);
        float highestThatStayed = 0;
        float lowestThatLeft = 1;
        foreach (GenerationResult result in results)
        {
            float stayed = Confidences(result, 12).DefaultIfEmpty(0).Max();
            float left = Confidences(result, 4).DefaultIfEmpty(1).Min();

            // Frozen within a batch: one border tells those that stayed from those that left.
            Assert.True(stayed <= left, $"{stayed} stayed, {left} left.");
            highestThatStayed = Math.Max(highestThatStayed, stayed);
            lowestThatLeft = Math.Min(lowestThatLeft, left);
        }

        // And it has moved from one batch to another.
        Assert.True(lowestThatLeft < highestThatStayed);

        static IEnumerable<float> Confidences(GenerationResult result, int layer) =>
            result.Steps!.Where(step => step.ExitLayer == layer).Select(step => step.Evaluations[0].Confidence);
    }

    [Fact]
    public void A_data_view_learns_within_one_reading()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(DemoRow.Create(16));
        var options = new TextGenerationOptions { Prefix = "describe: ", MaxNewTokens = 20, BatchSize = 4, Exit = s_adaptive };
        using TextGenerationTransformer transformer = context.Transforms.Text.GenerateText("Text", "Prompt", model, options).Fit(data);

        string?[] expected =
            [.. model.Generate([.. DemoRow.Create(16).Select(row => GenerationInput.FromText(row.Prompt!))], options, TestContext.Current.CancellationToken)
                .Select(row => row.Text)];

        Assert.Equal(expected, transformer.Transform(data).GetColumn<string>("Text"));
        Assert.Equal(expected, transformer.Transform(data).GetColumn<string>("Text"));
    }

    private static GenerationInput[] Inputs(int count) => [.. DemoRow.Create(count).Select(row => GenerationInput.FromText("describe: " + row.Prompt))];
}
