using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// The result of a row depends on nothing but the row, up to rounding: not on its neighbours, their order, or the batch size. An adaptive threshold is the
/// exception.
/// </summary>
public sealed class BatchIndependenceTests
{
    private const float NearTie = 1e-4f;

    [Property(MaxTest = 40)]
    public Property A_row_is_generated_the_same_in_any_batch() =>
        Prop.ForAll(Cases().ToArbitrary(), testCase =>
        {
            EarlyExitModel model = TestModels.Model(TestModels.Exits);
            IReadOnlyList<GenerationResult> alone = model.Generate(testCase.Inputs, testCase.Options with { BatchSize = 1 });
            IReadOnlyList<GenerationResult> together = model.Generate(testCase.Inputs, testCase.Options with { BatchSize = testCase.BatchSize });
            GenerationInput[] reversed = [.. testCase.Inputs.Reverse()];
            IReadOnlyList<GenerationResult> backwards = model.Generate(reversed, testCase.Options with { BatchSize = testCase.BatchSize });
            for (int row = 0; row < testCase.Inputs.Length; row++)
            {
                AssertSame(alone[row], together[row], testCase.Options.Exit);
                AssertSame(alone[row], backwards[^(row + 1)], testCase.Options.Exit);
            }
        });

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public void A_row_that_begins_where_another_has_ended_is_generated_the_same(StatePropagation propagation)
    {
        // Longer inputs after shorter ones: the caches of the encoder's positions grow while others run.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs([4, 150, 3, 90, 300, 10, 61, 62, 63, 1, 200], seed: 7);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 90,
            Trace = true,
            Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f, StatePropagation = propagation },
        };
        IReadOnlyList<GenerationResult> alone = model.Generate(inputs, options);
        foreach (int batchSize in new[] { 2, 3, 5 })
        {
            IReadOnlyList<GenerationResult> together = model.Generate(inputs, options with { BatchSize = batchSize });
            for (int row = 0; row < inputs.Length; row++)
                AssertSame(alone[row], together[row], options.Exit);
        }
    }

    private static void AssertSame(GenerationResult expected, GenerationResult actual, ExitPolicy? policy)
    {
        for (int step = 0; step < expected.TokenIds.Count; step++)
        {
            // A confidence this near to the threshold may fall on either side of it.
            if (policy is { StaticExitLayer: null }
                && expected.Steps![step].Evaluations.Any(evaluation => Math.Abs(evaluation.Confidence - policy.Threshold) < NearTie))
                return;
            Assert.Equal(expected.TokenIds[step], actual.TokenIds[step]);
            Assert.Equal(expected.ExitLayers[step], actual.ExitLayers[step]);
            Assert.Equal(expected.Confidences[step], actual.Confidences[step], NearTie);
        }

        Assert.Equal(expected.TokenIds.Count, actual.TokenIds.Count);
        Assert.Equal(expected.StopReason, actual.StopReason);
    }

    private static Gen<Case> Cases() =>
        from rows in Gen.Choose(1, 9)
        from lengths in Gen.ArrayOf(Gen.Choose(1, 40), rows)
        from seed in Gen.Choose(0, 1_000_000)
        from batchSize in Gen.Choose(2, 9)
        from minimumLayer in Gen.Choose(1, 8)
        from threshold in Gen.Choose(0, 10)
        from kind in Gen.Choose(0, 5)
        from penalty in Gen.Elements(1f, 1.2f)
        from propagation in Gen.Elements(Enum.GetValues<StatePropagation>())
        select new Case(
            Inputs(lengths, seed), batchSize,
            new TextGenerationOptions
            {
                MaxNewTokens = 20,
                RepetitionPenalty = penalty,
                Trace = true,
                Exit = kind switch
                {
                    0 => null,
                    1 => new ExitPolicy { StaticExitLayer = minimumLayer },
                    _ => new ExitPolicy { MinimumLayer = minimumLayer, Threshold = threshold / 10f, StatePropagation = propagation },
                },
            });

    private static GenerationInput[] Inputs(int[] lengths, int seed)
    {
        var random = new Random(seed);
        return [.. lengths.Select(length => GenerationInput.FromTokenIds([.. Enumerable.Range(0, length).Select(_ => random.Next(2, 1024)), 1]))];
    }

    private sealed record Case(GenerationInput[] Inputs, int BatchSize, TextGenerationOptions Options);
}
