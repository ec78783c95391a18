using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class WarmUpTests
{
    private static readonly GenerationInput[] s_inputs =
        [.. Enumerable.Range(1, 6).Select(row => GenerationInput.FromTokenIds([.. Enumerable.Range(3, 3 * row), 1]))];

    public static TheoryData<ExitPolicy?, int> Policies => new()
    {
        { null, 1 },
        { null, 4 },
        { new ExitPolicy { MinimumLayer = 2, Threshold = 0.3f }, 1 },
        { new ExitPolicy { MinimumLayer = 2, Threshold = 0.3f }, 4 },
        { new ExitPolicy { MinimumLayer = 3, Threshold = 0.3f, StatePropagation = StatePropagation.ParallelDecoding }, 4 },
        {
            new ExitPolicy
            {
                MinimumLayer = 2, Threshold = 0.3f, StatePropagation = StatePropagation.ParallelDecoding, SelfSpeculation = new SelfSpeculation(),
            },
            2
        },
        { new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.JsdContrastive(), Threshold = 0.1f }, 2 },
        { new ExitPolicy { StaticExitLayer = 3 }, 2 },
    };

    [Theory]
    [MemberData(nameof(Policies))]
    public void A_generation_makes_no_session_after_it(ExitPolicy? policy, int batchSize)
    {
        var options = new TextGenerationOptions { MaxNewTokens = 24, MinNewTokens = 24, BatchSize = batchSize, Exit = policy };
        using EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits), null, options);
        int made = model.Sessions.Count;
        Assert.True(made > 0);
        model.Generate(s_inputs, options);
        model.Generate([s_inputs[0]], options);
        Assert.Equal(made, model.Sessions.Count);
        model.WarmUp(options);
        Assert.Equal(made, model.Sessions.Count);

        // The same tokens as of a model that was not prepared.
        Assert.Equal(
            TestModels.Model(TestModels.Exits).Generate(s_inputs, options).Select(row => row.TokenIds),
            model.Generate(s_inputs, options).Select(row => row.TokenIds));
    }

    [Fact]
    public void Transformers_prepare_what_they_run()
    {
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(DemoRow.Create(2));
        using EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Demo));
        var options = new TextGenerationOptions { MaxNewTokens = 8, Exit = new ExitPolicy { MinimumLayer = 4 } };
        TextGenerationTransformer generation = context.Transforms.Text.GenerateText("Text", "Prompt", model, options).Fit(data);
        generation.WarmUp();
        int made = model.Sessions.Count;
        Assert.Equal(2, generation.Transform(data).GetColumn<string>("Text").Count());
        Assert.Equal(made, model.Sessions.Count);

        generation.WarmUp(options with { Exit = null });
        Assert.True(model.Sessions.Count > made);
        generation.Dispose();
        Assert.Throws<ObjectDisposedException>(() => generation.WarmUp());
    }

    [Fact]
    public void Options_that_do_not_fit_the_model_are_refused_and_the_model_is_released()
    {
        var options = new TextGenerationOptions { Exit = new ExitPolicy { MinimumLayer = 99 } };
        Assert.Throws<ArgumentException>(() => TestModels.Model(TestModels.Exits).WarmUp(options));
        Assert.Throws<ArgumentException>(() => EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits), null, options));
    }
}
