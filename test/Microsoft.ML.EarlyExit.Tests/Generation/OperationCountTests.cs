using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The operations of a result against a walk over its exit layers that keeps books of every layer and position.</summary>
public sealed class OperationCountTests
{
    public static TheoryData<string, ExitPolicy?> Cases()
    {
        var data = new TheoryData<string, ExitPolicy?>();
        foreach (string model in new[] { TestModels.Exits, "tiny-v10", "tiny-v11", "tiny-buckets" })
        {
            int layers = new Sizes(model).Layers;
            data.Add(model, null);
            data.Add(model, new ExitPolicy { StaticExitLayer = 1 });
            data.Add(model, new ExitPolicy { StaticExitLayer = layers - 1 });
            data.Add(model, new ExitPolicy { StaticExitLayer = layers });
            foreach (int minimumLayer in new[] { 1, 3, layers - 1, layers })
            {
                foreach (float threshold in new[] { 0, 0.3f, 0.7f, 1 })
                {
                    foreach (StatePropagation propagation in Enum.GetValues<StatePropagation>())
                        data.Add(model, new ExitPolicy { MinimumLayer = minimumLayer, Threshold = threshold, StatePropagation = propagation });
                }
            }
        }

        data.Add(TestModels.Demo, null);
        data.Add(TestModels.Demo, new ExitPolicy { StaticExitLayer = 5 });
        data.Add(TestModels.Demo, new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f });
        data.Add(TestModels.Demo, new ExitPolicy { MinimumLayer = 1, Threshold = 0.9f });
        data.Add(TestModels.Demo, new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f, StatePropagation = StatePropagation.ParallelDecoding });
        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Counts_follow_from_the_exit_layers_in_any_batch(string name, ExitPolicy? policy)
    {
        var sizes = new Sizes(name);
        GenerationInput[] inputs = Inputs([4, 17, 1, 9, 30, 2], sizes.Vocabulary, seed: 3);
        var options = new TextGenerationOptions { MaxNewTokens = 16, Exit = policy, Trace = true };
        IReadOnlyList<GenerationResult> alone = TestModels.Model(name).Generate(inputs, options);
        IReadOnlyList<GenerationResult> together = TestModels.Model(name).Generate(inputs, options with { BatchSize = 4 });
        IReadOnlyList<GenerationResult> untraced = TestModels.Model(name).Generate(inputs, options with { BatchSize = 4, Trace = false });
        int same = 0;
        for (int row = 0; row < inputs.Length; row++)
        {
            AssertCounts(sizes, inputs[row], policy, alone[row]);
            AssertCounts(sizes, inputs[row], policy, together[row]);
            Assert.Equal(together[row].Operations, untraced[row].Operations);
            // A confidence too close to the threshold to call may part the two.
            if (!alone[row].ExitLayers.SequenceEqual(together[row].ExitLayers))
                continue;
            Assert.Equal(alone[row].Operations, together[row].Operations);
            same++;
        }

        Assert.True(same > inputs.Length / 2);
    }

    [Property(MaxTest = 40)]
    public Property Counts_follow_from_the_exit_layers_whatever_the_rows_and_the_thresholds() => Prop.ForAll(
        (from rows in Gen.Choose(1, 7)
         from lengths in Gen.ArrayOf(Gen.Choose(0, 40), rows)
         from seed in Gen.Choose(0, 1_000_000)
         from batchSize in Gen.Choose(1, 5)
         from minimumLayer in Gen.Choose(1, 8)
         from thresholds in Gen.ArrayOf(Gen.Choose(0, 100), 8)
         from propagation in Gen.Elements(Enum.GetValues<StatePropagation>())
         select (lengths, seed, batchSize, policy: new ExitPolicy
         {
             MinimumLayer = minimumLayer,
             Thresholds = [.. thresholds.Select(percent => percent / 100f)],
             StatePropagation = propagation,
         })).ToArbitrary(),
        one =>
        {
            var sizes = new Sizes(TestModels.Exits);
            GenerationInput[] inputs = Inputs(one.lengths, sizes.Vocabulary, one.seed);
            IReadOnlyList<GenerationResult> results = TestModels.Model(TestModels.Exits).Generate(
                inputs, new TextGenerationOptions { MaxNewTokens = 20, BatchSize = one.batchSize, Exit = one.policy, Trace = true });
            for (int row = 0; row < inputs.Length; row++)
                AssertCounts(sizes, inputs[row], one.policy, results[row]);
        });

    public static TheoryData<string, int> MinimumLayers()
    {
        var data = new TheoryData<string, int>();
        foreach (int minimumLayer in new[] { 1, 2, 4, 7 })
            data.Add(TestModels.Exits, minimumLayer);
        foreach (int minimumLayer in new[] { 1, 2, 4 })
            data.Add("tiny-v10", minimumLayer);
        return data;
    }

    [Theory]
    [MemberData(nameof(MinimumLayers))]
    public void Counts_follow_from_the_exit_layers_with_every_measure_and_pruning(string name, int minimumLayer)
    {
        var sizes = new Sizes(name);
        GenerationInput[] inputs = Inputs([4, 17, 9], sizes.Vocabulary, seed: 3);
        foreach (DefinedPolicy simple in new[] { 0f, 0.4f, 1f }.SelectMany(threshold => DefinedPolicy.EveryMeasureAndCut(minimumLayer, threshold)))
        {
            foreach (DefinedPolicy policy in new[] { simple, simple with { WholeAtLastLayer = false, AllAmateurs = true } })
            {
                foreach (int batchSize in new[] { 1, 3 })
                {
                    IReadOnlyList<GenerationResult> results = TestModels.Model(name).Generate(
                        inputs, new TextGenerationOptions { MaxNewTokens = 8, Exit = policy.ToPolicy(), Trace = true, BatchSize = batchSize });
                    for (int row = 0; row < inputs.Length; row++)
                        AssertCounts(sizes, inputs[row], policy.ToPolicy(), results[row], policy);
                }
            }
        }
    }

    [Theory]
    [InlineData(new[] { 2, 5 }, null)]
    [InlineData(new[] { 1, 3, 4, 7 }, 1)]
    [InlineData(null, 2)]
    public void Layers_that_are_not_asked_after_cost_no_product(int[]? asked, int? near)
    {
        var sizes = new Sizes(TestModels.Exits);
        GenerationInput[] inputs = Inputs([4, 17, 9], sizes.Vocabulary, seed: 3);
        foreach (DefinedPolicy simple in new[] { 0.3f, 0.6f }.SelectMany(threshold => DefinedPolicy.EveryMeasureAndCut(1, threshold)))
        {
            if (simple.IsContrastive)
                continue;
            DefinedPolicy policy = simple with { AskLayers = asked, AskNearPrevious = near, WholeAtLastLayer = false };
            IReadOnlyList<GenerationResult> results = TestModels.Model(TestModels.Exits).Generate(
                inputs, new TextGenerationOptions { MaxNewTokens = 8, Exit = policy.ToPolicy(), Trace = true, BatchSize = 2 });
            for (int row = 0; row < inputs.Length; row++)
                AssertCounts(sizes, inputs[row], policy.ToPolicy(), results[row], policy);
        }
    }

    [Fact]
    public void A_pruned_contrastive_token_counted_by_hand()
    {
        var policy = new ExitPolicy
        {
            MinimumLayer = 5,
            Threshold = 1,
            Confidence = Confidence.WeightedContrastive(),
            Pruning = VocabularyPruning.Fixed(100),
            FullVocabularyAtLastLayer = false,
        };
        GenerationResult result = TestModels.Model(TestModels.Exits).Generate(
            [GenerationInput.FromTokenIds([7, 99, 1])], new TextGenerationOptions { MaxNewTokens = 1, Exit = policy, Trace = true })[0];

        // Confidences after blocks 5, 6 and 7 over 1024, 100 and 100 tokens; amateurs after blocks 2, 3 and 3 over 1024: 2·48·(3·1024 + 2·100) = 314112. The
        // last layer's 100 tokens: 2·48·100 = 9600. The published code's count leaves the first evaluation out: 48·48·2·100 = 460800. Blocks as above:
        // 8·(46592 + 18432).
        Assert.Equal(
            [(5, 1024, 2), (6, 100, 3), (7, 100, 3)],
            result.Steps![0].Evaluations.Select(evaluation => (evaluation.Layer, evaluation.Rows, evaluation.AmateurLayer!.Value)));
        Assert.Equal(new OperationCounts(520192, 0, 314112, 9600, 460800), result.Operations);
    }

    [Fact]
    public void One_token_of_a_static_exit_counted_by_hand()
    {
        GenerationResult result = TestModels.Model(TestModels.Exits).Generate(
            [GenerationInput.FromTokenIds([7, 99, 1])], new TextGenerationOptions { MaxNewTokens = 1, Exit = new ExitPolicy { StaticExitLayer = 2 } })[0];
        // d = 48, i = 2 heads · 16 = 32, d_ff = 96 (gated), 1024 tokens, 3 input ids.
        // A block at position 0: 2·48·32·4 + 4·32·1 = 12288 + 128; 2·48·32·2 + 4·32·3 = 6144 + 384; 2·48·96·3 = 27648; together 46592.
        // Its cross-attention keys and values: 2·48·32·2·3 = 18432. Two blocks: 2·(46592 + 18432) = 130048. The head: 2·48·1024 = 98304.
        Assert.Equal(new OperationCounts(130048, 0, 0, 98304, 0), result.Operations);
        Assert.Equal(228352, result.Operations.Total);
    }

    [Fact]
    public void A_shallow_token_before_a_deeper_one_counted_by_hand()
    {
        GenerationResult result = TestModels.Model(TestModels.Exits).Generate(
            [GenerationInput.FromTokenIds([7, 99, 1])],
            new TextGenerationOptions { MaxNewTokens = 2, Trace = true, Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f } })[0];
        Assert.Equal([2, 5], result.ExitLayers);
        Assert.All(result.Steps!.SelectMany(step => step.Evaluations), evaluation => Assert.True(Math.Abs(evaluation.Confidence - 0.5f) > 1e-3f));
        // The sizes of the test above. Token 0: two blocks and their cross-attention keys and values, 130048; one head product for a confidence,
        // 2·48·1024 = 98304, which the published code counts as 48·48·1024 = 2359296.
        Assert.Equal(new OperationCounts(130048, 0, 98304, 0, 2359296), result.Steps![0].Operations);
        // Token 1: five blocks at position 1, 46592 + 4·32 = 46720 each; layers 3, 4 and 5 for the first time, 18432 each; together 288896. Those layers lack
        // token 0: 3·2·48·32·2 = 18432. Confidences after blocks 2, 3, 4 and 5: 4·98304 = 393216, 4·2359296 = 9437184.
        Assert.Equal(new OperationCounts(288896, 18432, 393216, 0, 9437184), result.Steps[1].Operations);
        Assert.Equal(new OperationCounts(418944, 18432, 491520, 0, 11796480), result.Operations);
    }

    [Fact]
    public void The_same_tokens_by_parallel_decoding_counted_by_hand()
    {
        GenerationResult result = TestModels.Model(TestModels.Exits).Generate(
            [GenerationInput.FromTokenIds([7, 99, 1])],
            new TextGenerationOptions
            {
                MaxNewTokens = 2,
                Trace = true,
                Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f, StatePropagation = StatePropagation.ParallelDecoding },
            })[0];
        Assert.Equal([2, 5], result.ExitLayers);
        Assert.Equal(new OperationCounts(130048, 0, 98304, 0, 2359296), result.Steps![0].Operations);
        // As above, but blocks 3, 4 and 5 also run for token 0 at position 0, 3·46592 = 139776, and nothing is copied.
        Assert.Equal(new OperationCounts(288896 + 139776, 0, 393216, 0, 9437184), result.Steps[1].Operations);
    }

    [Theory]
    [InlineData("decoder.2.self.kv", 3)]
    [InlineData("decoder.1.cross.kv", 2)]
    public void A_row_that_fails_states_what_was_done_for_it(string tensor, int layer)
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor(tensor, 10, 1, float.NaN);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([9, 12, 40, 1]), GenerationInput.FromTokenIds([300])];
        var sizes = new Sizes("tiny-v11");

        IReadOnlyList<GenerationResult> asked = model.Generate(
            inputs, new TextGenerationOptions { MaxNewTokens = 5, Trace = true, Exit = new ExitPolicy { Threshold = 1 } });
        Assert.Equal((StopReason.Error, 0), (asked[0].StopReason, asked[0].TokenIds.Count));
        Assert.Equal(
            new OperationCounts(layer * (sizes.Block(0, 4) + sizes.CrossKeysValues(4)), 0, layer * sizes.Head, 0, layer * sizes.PaperHead),
            asked[0].Operations);
        Assert.Equal(StopReason.Error, asked[1].StopReason);
        Assert.Equal(default, asked[1].Operations);

        GenerationResult full = model.Generate(inputs, new TextGenerationOptions { MaxNewTokens = 5 })[0];
        Assert.Equal((StopReason.Error, 0), (full.StopReason, full.TokenIds.Count));
        Assert.Equal(new OperationCounts(5 * (sizes.Block(0, 4) + sizes.CrossKeysValues(4)), 0, 0, sizes.Head, 0), full.Operations);
    }

    private static void AssertCounts(Sizes sizes, GenerationInput input, ExitPolicy? policy, GenerationResult result, DefinedPolicy? pruned = null)
    {
        int encoderLength = input.TokenIds!.Count;
        int minimumLayer = policy is { StaticExitLayer: null } ? policy.MinimumLayer : sizes.Layers;
        bool[] isReached = new bool[sizes.Layers + 1];
        HashSet<int>[] positionsOfLayer = [.. isReached.Select(_ => new HashSet<int>())];
        OperationCounts sum = default;
        for (int position = 0; position < result.TokenIds.Count; position++)
        {
            int exitLayer = result.ExitLayers[position];
            OperationCounts expected = default;
            for (int layer = 1; layer <= exitLayer; layer++)
            {
                expected += new OperationCounts { Decoder = sizes.Block(position, encoderLength) };
                if (!isReached[layer])
                    expected += new OperationCounts { Decoder = sizes.CrossKeysValues(encoderLength) };
                isReached[layer] = true;
                for (int earlier = 0; earlier < position; earlier++)
                {
                    if (!positionsOfLayer[layer].Add(earlier))
                        continue;
                    expected += policy!.StatePropagation == StatePropagation.ParallelDecoding
                        ? new OperationCounts { Decoder = sizes.Block(earlier, encoderLength) }
                        : new OperationCounts { StatePropagation = sizes.KeysValues };
                }

                positionsOfLayer[layer].Add(position);
                if (pruned is null && layer >= minimumLayer && layer < sizes.Layers)
                    expected += new OperationCounts { Confidence = sizes.Head, Paper = sizes.PaperHead };
            }

            if (pruned is not null)
                expected += HeadCounts(sizes, pruned, result.Steps![position], position == 0 ? null : result.ExitLayers[position - 1]);
            else if (minimumLayer == sizes.Layers || exitLayer == sizes.Layers)
                expected += new OperationCounts { Head = sizes.Head };
            Assert.Equal(expected, result.Steps![position].Operations);
            sum += expected;
        }

        Assert.NotEqual(StopReason.Error, result.StopReason);
        Assert.Equal(sum, result.Operations);
    }

    /// <summary>What the head cost for a token, from the layer it left at and, for adaptive cuts, its confidences.</summary>
    private static OperationCounts HeadCounts(Sizes sizes, DefinedPolicy policy, GenerationStep step, int? previousExit)
    {
        OperationCounts counts = default;
        int alive = sizes.Vocabulary;
        var below = new HashSet<int>();
        int index = 0;
        foreach (int layer in policy.Asked(sizes.Layers, previousExit).Append(sizes.Layers).TakeWhile(layer => layer <= step.ExitLayer))
        {
            bool isFirst = index == 0;
            float before = isFirst ? 0 : step.Evaluations[index - 1].Confidence;
            index++;
            if (!isFirst)
                alive = Math.Min(alive, policy.CountAt(layer, sizes.Layers, before).Count);
            int chosenFrom = layer == sizes.Layers && policy.WholeAtLastLayer ? sizes.Vocabulary : alive;
            if (layer == sizes.Layers || (layer == step.ExitLayer && policy.Measure == DefinedMeasure.Saturation))
                counts += new OperationCounts { Head = sizes.HeadOf(chosenFrom) };
            if (layer == sizes.Layers || policy.Measure == DefinedMeasure.Saturation)
                continue;
            counts += new OperationCounts { Confidence = sizes.HeadOf(alive) };
            if (policy.Cut == DefinedCut.None)
                counts += new OperationCounts { Paper = sizes.PaperHead };
            else if (!isFirst && policy.Cut == DefinedCut.Adaptive)
            {
                counts += new OperationCounts
                {
                    Paper = sizes.PaperHead / sizes.Vocabulary * (long)Math.Floor(sizes.Vocabulary * (1 - (policy.Scale * (double)before))),
                };
            }
            else if (!isFirst)
                counts += new OperationCounts { Paper = sizes.PaperHead / sizes.Vocabulary * alive };
            if (policy.Measure == DefinedMeasure.Weighted && layer / 2 > 0 && layer / 2 < policy.MinimumLayer)
                below.Add(layer / 2);
            if (policy.Measure == DefinedMeasure.Jsd && policy.AllAmateurs)
                below.UnionWith(Enumerable.Range(2, Math.Max(0, policy.MinimumLayer - 2)));
        }

        // Amateurs below j have the whole vocabulary, and are computed once.
        return counts + new OperationCounts { Confidence = below.Count * sizes.Head };
    }

    private static GenerationInput[] Inputs(int[] lengths, int vocabulary, int seed)
    {
        var random = new Random(seed);
        return [.. lengths.Select(length => GenerationInput.FromTokenIds([.. Enumerable.Range(0, length).Select(_ => random.Next(2, vocabulary)), 1]))];
    }

    /// <summary>The costs of a checkpoint's parts, from the file that states its sizes.</summary>
    private sealed class Sizes
    {
        private readonly long _width;
        private readonly long _inner;
        private readonly long _feedForward;
        private readonly int _feedForwardProducts;

        public Sizes(string model)
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestModels.Checkpoint(model), "config.json")));
            JsonElement configuration = document.RootElement;
            int Size(string name) => configuration.GetProperty(name).GetInt32();
            _width = Size("d_model");
            _inner = Size("num_heads") * Size("d_kv");
            _feedForward = Size("d_ff");
            bool isGated = configuration.TryGetProperty("feed_forward_proj", out JsonElement kind)
                && kind.GetString()!.StartsWith("gated", StringComparison.Ordinal);
            _feedForwardProducts = isGated ? 3 : 2;
            Vocabulary = Size("vocab_size");
            Layers = configuration.TryGetProperty("num_decoder_layers", out JsonElement layers) ? layers.GetInt32() : Size("num_layers");
        }

        public int Layers { get; }

        public int Vocabulary { get; }

        /// <summary>Keys and values of one position.</summary>
        public long KeysValues => 2 * _width * _inner * 2;

        public long Head => HeadOf(Vocabulary);

        public long PaperHead => _width * _width * Vocabulary;

        public long CrossKeysValues(int encoderLength) => 2 * _width * _inner * 2 * encoderLength;

        public long HeadOf(int rows) => 2 * _width * rows;

        public long Block(int position, int encoderLength) =>
            (2 * _width * _inner * 4) + (4 * _inner * (position + 1))
            + (2 * _width * _inner * 2) + (4 * _inner * encoderLength)
            + (2 * _width * _feedForward * _feedForwardProducts);
    }
}
