using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Speculation changes how fast text comes, not which.</summary>
public sealed class SelfSpeculationTests
{
    public static TheoryData<string, int, int?, int> Cases()
    {
        var data = new TheoryData<string, int, int?, int>();
        foreach (string model in new[] { TestModels.Exits, TestModels.Demo })
        {
            for (int policy = 0; policy < Policies(model).Length; policy++)
            {
                foreach (int? draftTokens in (int?[])[null, 1, 2, 7])
                    data.Add(model, policy, draftTokens, draftTokens is 2 or null ? 4 : 1);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_output_is_that_of_full_depth(string modelName, int policy, int? draftTokens, int batchSize)
    {
        EarlyExitModel model = TestModels.Model(modelName);
        GenerationInput[] inputs = Inputs(modelName);
        int accepted = 0;
        int drafted = 0;
        int different = 0;
        foreach (TextGenerationOptions options in OptionSets(modelName))
        {
            IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options with { BatchSize = batchSize }, TestContext.Current.CancellationToken);
            ExitPolicy speculating = Policies(modelName)[policy] with { SelfSpeculation = new SelfSpeculation { DraftTokens = draftTokens } };
            IReadOnlyList<GenerationResult> actual =
                model.Generate(inputs, options with { BatchSize = batchSize, Exit = speculating, Trace = true }, TestContext.Current.CancellationToken);
            for (int row = 0; row < inputs.Length; row++)
            {
                // A near-tie of the two best logits, which other shapes of the same products round to the other side.
                if (!expected[row].TokenIds.SequenceEqual(actual[row].TokenIds))
                {
                    different++;
                    continue;
                }

                Assert.Equal(expected[row].StopReason, actual[row].StopReason);
                Assert.Equal(actual[row].TokenIds, actual[row].Steps!.Select(step => step.TokenId));
                Assert.Equal(actual[row].ExitLayers, actual[row].Steps!.Select(step => step.ExitLayer));
                Assert.Equal(actual[row].Operations, actual[row].Steps!.Aggregate(default(OperationCounts), (sum, step) => sum + step.Operations));
                Assert.Equal(actual[row].AcceptedTokens, actual[row].ExitLayers.Count(layer => layer < model.Configuration.DecoderLayerCount));
                Assert.True(actual[row].Operations.Decoder >= expected[row].Operations.Decoder);
                Assert.Equal(0, actual[row].Operations.StatePropagation);
                accepted += actual[row].AcceptedTokens;
                drafted += actual[row].DraftedTokens;
            }
        }

        Assert.True(different <= 1, $"{different} outputs differ.");
        Assert.InRange(accepted, 1, drafted);
    }

    [Property(MaxTest = 60)]
    public Property Whatever_drafts_the_output_is_that_of_full_depth() => Prop.ForAll(
        (from layer in Gen.Choose(1, 7)
         from threshold in Gen.Choose(0, 100)
         from draftTokens in Gen.Choose(0, 12)
         from ids in Gen.Choose(3, 1023).ArrayOf().Where(ids => ids.Length is > 0 and < 12)
         from length in Gen.Choose(1, 30)
         from batchSize in Gen.Choose(1, 3)
         select (layer, threshold, draftTokens, ids, length, batchSize)).ToArbitrary(),
        drawn =>
        {
            EarlyExitModel model = TestModels.Model(TestModels.Exits);
            GenerationInput[] inputs = [.. Enumerable.Range(0, 3).Select(row => GenerationInput.FromTokenIds([.. drawn.ids.Skip(row % drawn.ids.Length), 1]))];
            var options = new TextGenerationOptions { MaxNewTokens = drawn.length, BatchSize = drawn.batchSize };
            int? draftTokens = drawn.draftTokens == 0 ? null : drawn.draftTokens;
            ExitPolicy policy = drawn.threshold < 20
                ? new ExitPolicy { StaticExitLayer = drawn.layer }
                : new ExitPolicy { MinimumLayer = drawn.layer, Threshold = drawn.threshold / 100f };
            IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options);
            IReadOnlyList<GenerationResult> actual =
                model.Generate(inputs, options with { Exit = policy with { SelfSpeculation = new SelfSpeculation { DraftTokens = draftTokens } } });
            Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
            Assert.Equal(expected.Select(row => row.StopReason), actual.Select(row => row.StopReason));
        });

    [Fact]
    public void Where_no_token_can_exit_early_nothing_is_drafted()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs(TestModels.Exits);
        int layers = model.Configuration.DecoderLayerCount;
        var options = new TextGenerationOptions { MaxNewTokens = 12, BatchSize = 3 };
        IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options, TestContext.Current.CancellationToken);
        foreach (ExitPolicy policy in new[] { new ExitPolicy { StaticExitLayer = layers }, new ExitPolicy { MinimumLayer = layers } })
        {
            TextGenerationOptions speculating = options with { Exit = policy with { SelfSpeculation = new SelfSpeculation() } };
            IReadOnlyList<GenerationResult> actual = model.Generate(inputs, speculating, TestContext.Current.CancellationToken);
            Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
            Assert.All(actual, row => Assert.Equal(0, row.DraftedTokens));
        }
    }

    [Fact]
    public void A_row_speculates_as_it_does_alone()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs(TestModels.Exits);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 24,
            Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.3f, SelfSpeculation = new SelfSpeculation() },
        };
        IReadOnlyList<GenerationResult> together = model.Generate(inputs, options with { BatchSize = 5 }, TestContext.Current.CancellationToken);
        for (int row = 0; row < inputs.Length; row++)
        {
            GenerationResult alone = model.Generate([inputs[row]], options, TestContext.Current.CancellationToken)[0];
            Assert.Equal(alone.TokenIds, together[row].TokenIds);
            Assert.Equal(alone.ExitLayers, together[row].ExitLayers);
            Assert.Equal((alone.DraftedTokens, alone.AcceptedTokens), (together[row].DraftedTokens, together[row].AcceptedTokens));
            Assert.Equal(alone.Operations, together[row].Operations);
        }
    }

    [Fact]
    public async Task Only_verified_tokens_are_streamed()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        const string Prompt = "describe: name[Blue Spice], eatType[coffee shop], area[city centre]";
        var options = new TextGenerationOptions { Exit = new ExitPolicy { StaticExitLayer = 5, SelfSpeculation = new SelfSpeculation { DraftTokens = 4 } } };
        GenerationResult expected = model.Generate(Prompt, options, TestContext.Current.CancellationToken);

        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in model.GenerateStreamingAsync(Prompt, options, TestContext.Current.CancellationToken))
            tokens.Add(token);

        Assert.Equal(expected.TokenIds, tokens.Select(token => token.TokenId));
        Assert.Equal(expected.ExitLayers, tokens.Select(token => token.ExitLayer));
        Assert.Equal(expected.Text, string.Concat(tokens.Select(token => token.TextDelta)));
        Assert.Equal(expected.StopReason, tokens[^1].StopReason);
    }

    [Fact]
    public void The_automatic_draft_length_follows_the_acceptance()
    {
        Assert.True(SelfSpeculation.BestDraftTokens(0, 50, 0.25) < SelfSpeculation.BestDraftTokens(0, 0, 0.25));
        Assert.True(SelfSpeculation.BestDraftTokens(50, 50, 0.25) > SelfSpeculation.BestDraftTokens(25, 50, 0.25));
        Assert.True(SelfSpeculation.BestDraftTokens(40, 50, 0.1) >= SelfSpeculation.BestDraftTokens(40, 50, 0.9));
        for (int accepted = 0; accepted <= 30; accepted++)
            Assert.InRange(SelfSpeculation.BestDraftTokens(accepted, 30, 0.3), 1, SelfSpeculation.MostDraftTokens);
    }

    private static ExitPolicy[] Policies(string model)
    {
        int layers = model == TestModels.Exits ? 8 : 12;
        return
        [
            new ExitPolicy { StaticExitLayer = layers / 4 },
            new ExitPolicy { StaticExitLayer = layers - 1 },
            new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f },
            new ExitPolicy { MinimumLayer = 3, Threshold = 0.6f, Pruning = VocabularyPruning.Decaying(500, 50) },
            new ExitPolicy { MinimumLayer = 2, Threshold = 0.7f, Confidence = Confidence.HiddenStateSaturation },
            new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = layers / 2 }, Threshold = 0.3f },
        ];
    }

    private static IEnumerable<TextGenerationOptions> OptionSets(string model)
    {
        int length = model == TestModels.Exits ? 24 : 40;
        yield return new TextGenerationOptions { MaxNewTokens = length };
        if (model == TestModels.Exits)
            yield return new TextGenerationOptions { MaxNewTokens = length, MinNewTokens = 6, RepetitionPenalty = 1.3f, NoRepeatNgramSize = 2 };
        else
            yield return new TextGenerationOptions { MaxNewTokens = 9 };
    }

    private static GenerationInput[] Inputs(string model) => model == TestModels.Exits
        ? [.. Enumerable.Range(0, 6).Select(row => GenerationInput.FromTokenIds([.. Enumerable.Range(3 + row, 4 + row), 1]))]
        : [.. DemoRow.Create(4).Select(row => GenerationInput.FromText("describe: " + row.Prompt))];
}
