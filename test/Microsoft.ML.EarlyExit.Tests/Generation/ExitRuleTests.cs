using FsCheck;
using FsCheck.Fluent;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Whole generations against the definitions of exits, confidences, pruning and the choice of a token.</summary>
public sealed class ExitRuleTests
{
    public static TheoryData<int> MinimumLayers => [1, 2, 3, 6];

    [Theory]
    [MemberData(nameof(MinimumLayers))]
    public void Threshold_1_is_full_depth_for_every_measure_and_pruning(int minimumLayer)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs([3, 8, 1, 14], 1024, seed: 5);
        var options = new TextGenerationOptions { MaxNewTokens = 24, MinNewTokens = 24, BatchSize = 4 };
        IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options);
        foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(minimumLayer, 1))
        {
            IReadOnlyList<GenerationResult> actual = model.Generate(inputs, options with { Exit = policy.ToPolicy() });
            for (int row = 0; row < inputs.Length; row++)
            {
                Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
                Assert.All(actual[row].ExitLayers, layer => Assert.Equal(8, layer));
                Assert.All(actual[row].Confidences, confidence => Assert.InRange(confidence, 0, 1));
            }
        }
    }

    [Theory]
    [MemberData(nameof(MinimumLayers))]
    public void Every_measure_with_every_pruning_exits_by_its_definition(int minimumLayer)
    {
        var sequence = new DefinedSequence(TestModels.Model(TestModels.Exits));
        foreach (float threshold in new[] { 0.3f, 0.7f, 1 })
        {
            foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(minimumLayer, threshold))
            {
                foreach (bool isWhole in new[] { true, false })
                {
                    AssertFollows(
                        sequence, TestModels.Exits, policy with { WholeAtLastLayer = isWhole }, new DefinedOptions(MinimumLength: 12),
                        Inputs([5, 2], 1024, 17), 2, 12);
                }
            }
        }

        AssertMostCompared(sequence);
        Assert.True(sequence.Exits > sequence.Compared / 5);
    }

    [Fact]
    public void Layers_that_are_not_asked_after_have_no_part_in_confidences_cuts_and_exits()
    {
        var sequence = new DefinedSequence(TestModels.Model(TestModels.Exits));
        foreach ((int[]? asked, int? near) in new (int[]?, int?)[]
        {
            ([1], null), ([7], 1), ([2, 5], null), ([3, 4, 7], 1), ([1, 2, 3, 4, 5, 6, 7], null), (null, 1), (null, 3),
        })
        {
            foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(1, 0.5f).Where(policy => !policy.IsContrastive))
            {
                AssertFollows(
                    sequence, TestModels.Exits, policy with { AskLayers = asked, AskNearPrevious = near, WholeAtLastLayer = false }, new DefinedOptions(MinimumLength: 12),
                    Inputs([5, 2], 1024, 29), 2, 12);
            }
        }

        AssertMostCompared(sequence);
        Assert.True(sequence.Exits > sequence.Compared / 5);
    }

    [Fact]
    public void Asking_after_every_layer_is_the_default()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs([3, 8, 1], 1024, seed: 7);
        var options = new TextGenerationOptions { MaxNewTokens = 12, MinNewTokens = 12, BatchSize = 2, Trace = true };
        var policy = new ExitPolicy { MinimumLayer = 3, Threshold = 0.6f, Pruning = VocabularyPruning.Decaying(200, 12) };
        IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options with { Exit = policy });
        IReadOnlyList<GenerationResult> actual = model.Generate(inputs, options with { Exit = policy with { AskLayers = [.. Enumerable.Range(1, 7)] } });
        Assert.Equal(expected.SelectMany(result => result.TokenIds), actual.SelectMany(result => result.TokenIds));
        Assert.Equal(expected.SelectMany(result => result.ExitLayers), actual.SelectMany(result => result.ExitLayers));
        Assert.Equal(expected.SelectMany(result => result.Confidences), actual.SelectMany(result => result.Confidences));
        Assert.Equal(expected.Select(result => result.Operations), actual.Select(result => result.Operations));
    }

    [Theory]
    [InlineData(TestModels.Exits, 70)]
    [InlineData("tiny-v10", 30)]
    [InlineData("tiny-v11", 30)]
    [InlineData("tiny-buckets", 30)]
    public void Any_policy_with_any_options_in_any_batch_exits_by_its_definition(string name, int cases)
    {
        EarlyExitModel model = TestModels.Model(name);
        T5Configuration configuration = model.Configuration;
        var sequence = new DefinedSequence(model);
        Gen<(DefinedPolicy Policy, DefinedOptions Options, int[] Lengths, int Seed, int BatchSize)> any =
            from policy in DefinedPolicy.Any(configuration.DecoderLayerCount, configuration.VocabularySize)
            from penalty in Gen.Elements(1f, 1f, 1.3f, 0.8f)
            from ngrams in Gen.Elements(0, 0, 1, 2, 3)
            from minimum in Gen.Elements(0, 4, 10)
            from rows in Gen.Choose(1, 5)
            from lengths in Gen.ArrayOf(Gen.Choose(0, 20), rows)
            from seed in Gen.Choose(0, 1_000_000)
            from batchSize in Gen.Choose(1, 5)
            select (policy, new DefinedOptions(penalty, ngrams, minimum), lengths, seed, batchSize);
        Prop.ForAll(
            any.ToArbitrary(),
            one => AssertFollows(sequence, name, one.Policy, one.Options, Inputs(one.Lengths, configuration.VocabularySize, one.Seed), one.BatchSize, 10))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(cases));
        AssertMostCompared(sequence);
    }

    [Fact]
    public void The_larger_model_too()
    {
        var sequence = new DefinedSequence(TestModels.Model(TestModels.Demo));
        foreach (DefinedMeasure measure in new[] { DefinedMeasure.Margin, DefinedMeasure.Weighted, DefinedMeasure.Jsd })
        {
            var policy = new DefinedPolicy
            {
                MinimumLayer = 3, Threshold = 0.8f, Measure = measure, Cut = DefinedCut.Adaptive, KMin = 100, WholeAtLastLayer = false,
            };
            GenerationInput[] inputs =
            [
                .. new[]
                {
                    "describe: name[Aromi], eatType[pub], area[city centre]", "question: Aromi",
                    "describe: name[Zizzi]", "describe: food[Italian], area[riverside]",
                }.Select(text => GenerationInput.FromTokenIds(TestModels.Model(TestModels.Demo).Tokenizer!.Encode(text))),
            ];
            AssertFollows(sequence, TestModels.Demo, policy, new DefinedOptions(), inputs, 3, 8);
        }

        // Among 32128 logits the last kept and the first cut are often too near to call.
        Assert.True(sequence.Compared > 20, $"{sequence.Compared} tokens were compared, {sequence.Skipped} came after a decision too close to call.");
    }

    [Theory]
    [MemberData(nameof(MinimumLayers))]
    public void A_row_alone_is_the_row_in_any_batch_for_every_measure_and_pruning(int minimumLayer)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs([9, 1, 30, 4, 17], 1024, seed: 11);
        var sequence = new DefinedSequence(model);
        DefinedPolicy[] policies = [.. DefinedPolicy.EveryMeasureAndCut(minimumLayer, 0.5f)];
        IEnumerable<DefinedPolicy> asking = policies.Where(policy => !policy.IsContrastive)
            .SelectMany(policy => new[] { policy with { AskNearPrevious = 1 }, policy with { AskLayers = [4, 6, 7], AskNearPrevious = 2 } });
        foreach (DefinedPolicy policy in policies.Concat(asking))
        {
            TextGenerationOptions options = new DefinedOptions().ToOptions(policy.ToPolicy(), 12);
            IReadOnlyList<GenerationResult> alone = model.Generate(inputs, options);
            int[] certain = [.. inputs.Select((input, row) => sequence.Follow(input, policy, new DefinedOptions(), alone[row]))];
            foreach (int batchSize in new[] { 2, 5 })
            {
                IReadOnlyList<GenerationResult> together = model.Generate(inputs, options with { BatchSize = batchSize });
                for (int row = 0; row < inputs.Length; row++)
                {
                    for (int step = 0; step < certain[row]; step++)
                    {
                        Assert.Equal(alone[row].TokenIds[step], together[row].TokenIds[step]);
                        Assert.Equal(alone[row].ExitLayers[step], together[row].ExitLayers[step]);
                        Assert.Equal(alone[row].Confidences[step], together[row].Confidences[step], 1e-4);
                        Assert.Equal(alone[row].Steps![step].Operations, together[row].Steps![step].Operations);
                    }
                }
            }
        }

        AssertMostCompared(sequence);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_row_does_not_exit_where_the_options_forbid_every_alive_token(bool isWholeAtLastLayer)
    {
        // Two tokens are alive after j, where nothing leaves, and none may occur twice: often both are forbidden.
        var sequence = new DefinedSequence(TestModels.Model(TestModels.Exits));
        foreach (DefinedMeasure measure in new[] { DefinedMeasure.Margin, DefinedMeasure.Weighted, DefinedMeasure.Jsd })
        {
            foreach (int minimumLayer in new[] { 1, 2, 5 })
            {
                float[] thresholds = [.. Enumerable.Repeat(0.02f, 8)];
                thresholds[minimumLayer - 1] = 1;
                var policy = new DefinedPolicy
                {
                    MinimumLayer = minimumLayer,
                    Thresholds = thresholds,
                    Measure = measure,
                    Cut = DefinedCut.Fixed,
                    K = 2,
                    WholeAtLastLayer = isWholeAtLastLayer,
                };
                AssertFollows(
                    sequence, TestModels.Exits, policy, new DefinedOptions(NgramSize: 1, MinimumLength: 40), Inputs([5, 2, 9, 4, 1, 12], 1024, 3), 3, 40);
            }
        }

        Assert.True(sequence.Forbidden > 20, $"Only {sequence.Forbidden} exits were forbidden.");
    }

    [Fact]
    public void Every_token_of_the_alive_ones_is_forbidden_at_the_last_layer_too()
    {
        // At threshold 1 the alive set of the last layer chooses; when its two tokens have occurred the whole vocabulary does, though it is not asked for.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var policy = new DefinedPolicy { MinimumLayer = 7, Threshold = 1, Cut = DefinedCut.Fixed, K = 2, WholeAtLastLayer = false };
        var options = new DefinedOptions(NgramSize: 1, MinimumLength: 20);
        var sequence = new DefinedSequence(model);
        GenerationInput[] inputs = Inputs([5, 2, 9, 4], 1024, 3);
        IReadOnlyList<GenerationResult> results = model.Generate(inputs, options.ToOptions(policy.ToPolicy(), 20));
        for (int row = 0; row < inputs.Length; row++)
        {
            Assert.Equal(20, results[row].TokenIds.Distinct().Count());
            sequence.Follow(inputs[row], policy, options, results[row]);
        }

        AssertMostCompared(sequence);
        Assert.Contains(results.SelectMany(result => result.Steps!), step => step.Operations.Head > 2 * 48 * 2);
        Assert.Contains(results.SelectMany(result => result.Steps!), step => step.Operations.Head == 2 * 48 * 2);
    }

    [Fact]
    public void Confidences_do_not_see_the_options()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = Inputs([6, 3], 1024, seed: 2);
        foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(2, 1))
        {
            IReadOnlyList<GenerationResult> plain = model.Generate(inputs, new DefinedOptions().ToOptions(policy.ToPolicy(), 1));
            IReadOnlyList<GenerationResult> changed = model.Generate(inputs, new DefinedOptions(3f, 1, 1).ToOptions(policy.ToPolicy(), 1));
            for (int row = 0; row < inputs.Length; row++)
                Assert.Equal(plain[row].Steps![0].Evaluations, changed[row].Steps![0].Evaluations);
        }
    }

    [Fact]
    public void An_embedding_that_holds_no_number_spoils_only_rows_that_have_it()
    {
        using var tampered = new TamperedBundle();
        int[][] inputs = [[9, 12, 40, 1], [77, 5, 1], [30, 31, 1]];
        tampered.EditTensor("embedding", 200 * 48, 48, float.NaN);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(3, 0.3f))
        {
            TextGenerationOptions options = new DefinedOptions().ToOptions(policy.ToPolicy(), 8) with { BatchSize = 4 };
            IReadOnlyList<GenerationResult> sound = model.Generate([.. inputs.Select(GenerationInput.FromTokenIds)], options);
            IReadOnlyList<GenerationResult> results = model.Generate([.. inputs.Append([200, 12, 1]).Select(GenerationInput.FromTokenIds)], options);
            for (int row = 0; row < inputs.Length; row++)
            {
                Assert.Equal(sound[row].TokenIds, results[row].TokenIds);
                Assert.Equal(sound[row].ExitLayers, results[row].ExitLayers);
            }

            Assert.Equal(StopReason.Error, results[^1].StopReason);
            Assert.Empty(results[^1].TokenIds);
            Assert.Contains("decoder layer 3 ", results[^1].Error);
        }
    }

    [Fact]
    public void A_row_that_fails_leaves_nothing_to_the_rows_of_slots_that_were_idle_beside_it()
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor("embedding", 200 * 48, 48, float.NaN);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        var options = new TextGenerationOptions { MaxNewTokens = 6, BatchSize = 3 };
        GenerationInput[] inputs = [.. new int[][] { [9, 12, 40, 1], [77, 5, 1], [30, 31, 1] }.Select(GenerationInput.FromTokenIds)];
        IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options);

        var results = new SortedDictionary<long, GenerationResult>();
        using GenerationBatch batch = model.Loaded.StartBatch(options, 3, results.Add, CancellationToken.None);
        batch.Start(GenerationInput.FromTokenIds([200, 12, 1]), row: 0);
        batch.Step();
        Assert.Equal(StopReason.Error, results[0].StopReason);
        for (int row = 0; row < inputs.Length; row++)
            batch.Start(inputs[row], row + 1);
        while (batch.IsRunning)
            batch.Step();
        Assert.Equal(expected.Select(row => row.TokenIds), results.Values.Skip(1).Select(row => row.TokenIds));
    }

    private static void AssertFollows(
        DefinedSequence sequence, string name, DefinedPolicy policy, DefinedOptions options, GenerationInput[] inputs, int batchSize, int maxNewTokens)
    {
        IReadOnlyList<GenerationResult> results =
            TestModels.Model(name).Generate(inputs, options.ToOptions(policy.ToPolicy(), maxNewTokens) with { BatchSize = batchSize });
        for (int row = 0; row < inputs.Length; row++)
            sequence.Follow(inputs[row], policy, options, results[row]);
    }

    private static void AssertMostCompared(DefinedSequence sequence) =>
        Assert.True(
            sequence.Compared > sequence.Skipped, $"{sequence.Compared} tokens were compared, {sequence.Skipped} came after a decision too close to call.");

    private static GenerationInput[] Inputs(int[] lengths, int vocabulary, int seed)
    {
        var random = new Random(seed);
        return [.. lengths.Select(length => GenerationInput.FromTokenIds([.. Enumerable.Range(0, length).Select(_ => random.Next(2, vocabulary)), 1]))];
    }
}
