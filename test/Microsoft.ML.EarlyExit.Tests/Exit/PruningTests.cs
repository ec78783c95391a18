using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class PruningTests
{
    [Fact]
    public void The_papers_numbers_of_the_decaying_function()
    {
        VocabularyPruning decaying = VocabularyPruning.Decaying();
        Assert.Equal(842, decaying.CountAt(7, 1, 24, 0));
        Assert.Equal(2781, decaying.CountAt(2, 1, 24, 0));
        Assert.Equal(250, decaying.CountAt(24, 1, 24, 0));

        // Exactly 8000 / (1 + 15 · 2 / 18).
        Assert.Equal(3000, VocabularyPruning.Decaying(8000, 500).CountAt(2, 1, 18, 0));

        // Fixed without k takes its value at j, at every layer.
        Assert.Equal(842, VocabularyPruning.Fixed().CountAt(8, 7, 24, 0));
        Assert.Equal(2781, VocabularyPruning.Fixed().CountAt(20, 2, 24, 0));
        Assert.Equal(900, VocabularyPruning.Fixed(900).CountAt(20, 2, 24, 0));

        // Adaptive: 842 (1 - 0.9 · 0.5) = 463.1; 842 · 0.1 = 84.2 is below kMin.
        Assert.Equal(463, VocabularyPruning.Adaptive().CountAt(9, 7, 24, 0.5f));
        Assert.Equal(250, VocabularyPruning.Adaptive().CountAt(9, 7, 24, 1));
        Assert.Equal(842, VocabularyPruning.Adaptive().CountAt(9, 7, 24, 0));
        Assert.Equal(17670, VocabularyPruning.Adaptive(k: 32128).CountAt(9, 7, 24, 0.5f));
        Assert.Equal(1000, VocabularyPruning.Adaptive(scale: 0, kMin: 2, k: 1000).CountAt(9, 7, 24, 0.5f));
    }

    [Property(MaxTest = 2000)]
    public Property The_decaying_function_is_the_formula_in_whole_numbers() => Prop.ForAll(
        (from layerCount in Gen.Choose(1, 60)
         from layer in Gen.Choose(1, layerCount)
         from kMin in Gen.OneOf(Gen.Choose(2, 60), Gen.Choose(2, int.MaxValue / 2))
         from more in Gen.OneOf(Gen.Choose(0, 500), Gen.Choose(0, int.MaxValue / 2))
         select (layer, layerCount, kMax: kMin + more, kMin)).ToArbitrary(),
        one => Assert.Equal(
            DefinedPolicy.DecayingAt(one.layer, one.layerCount, one.kMax, one.kMin),
            VocabularyPruning.Decaying(one.kMax, one.kMin).CountAt(one.layer, 1, one.layerCount, 0)));

    [Property(MaxTest = 300)]
    public Property Adaptive_counts_are_the_formula(byte confidence) => Prop.ForAll(
        (from k in Gen.Choose(2, 40000)
         from kMin in Gen.Choose(2, 3000)
         from scale in Gen.Elements(0f, 0.25f, 0.5f, 1f)
         select (k, kMin, scale)).ToArbitrary(),
        one =>
        {
            // Numbers that binary fractions hold exactly: the floor is exact too.
            long share = one.k * (1024L - ((long)(one.scale * 4) * confidence)) / 1024;
            Assert.Equal(Math.Max(one.kMin, share), VocabularyPruning.Adaptive(one.scale, one.kMin, one.k).CountAt(5, 2, 8, confidence / 256f));
        });

    [Property(MaxTest = 100)]
    public Property Only_the_best_by_the_first_layers_logits_live_on(int seed) => Prop.ForAll(
        (from counts in Gen.ArrayOf(Gen.OneOf(Gen.Choose(2, 256), Gen.Choose(200, 300)), 7)
         from levels in Gen.Choose(1, 60)
         select (counts, levels)).ToArbitrary(),
        one =>
        {
            const int size = 256;
            var alive = new AliveVocabulary(size, new EvaluationScratch(size), one.counts.Max(), count => new float[count]);
            var random = new Random(seed);
            for (int token = 0; token < 3; token++)
            {
                float[] logits = [.. Enumerable.Range(0, size).Select(_ => (float)random.Next(-one.levels, one.levels))];
                alive.Begin();
                alive.RankBy(logits);
                Assert.True(alive.IsFull);
                int[] ranked = [.. Enumerable.Range(0, size).OrderByDescending(id => logits[id]).ThenBy(id => id)];
                int[] before = ranked;
                foreach (int count in one.counts)
                {
                    alive.Cut(count, isFinal: false);
                    int[] expected = before[..Math.Min(count, before.Length)];
                    Assert.Equal(expected.Length, alive.Count);
                    Assert.Equal(alive.IsFull, expected.Length == size);
                    if (!alive.IsFull)
                        Assert.Equal(expected, alive.Ids.ToArray());

                    before = expected;
                }
            }

            // A cut after which none is smaller need not order what it keeps.
            float[] last = [.. Enumerable.Range(0, size).Select(_ => (float)random.Next(-one.levels, one.levels))];
            alive.Begin();
            alive.RankBy(last);
            int kept = Math.Min(one.counts[0], size - 1);
            alive.Cut(kept, isFinal: true);
            Assert.Equal(Enumerable.Range(0, size).OrderByDescending(id => last[id]).ThenBy(id => id).Take(kept).Order(), alive.Ids.ToArray().Order());
        });

    public static TheoryData<string> Models => [TestModels.Exits, "tiny-v10", "tiny-v11", TestModels.Demo];

    [Theory]
    [MemberData(nameof(Models))]
    public void A_fixed_number_of_the_vocabularys_size_or_more_prunes_nothing(string name)
    {
        EarlyExitModel model = TestModels.Model(name);
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([7, 99, 34, 1]), GenerationInput.FromTokenIds([200, 1])];
        foreach (Confidence confidence in new[] { Confidence.SoftmaxMargin, Confidence.WeightedContrastive(), Confidence.JsdContrastive() })
        {
            var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.6f, Confidence = confidence };
            var options = new TextGenerationOptions { MaxNewTokens = 12, MinNewTokens = 12, BatchSize = 2, Trace = true, Exit = policy };
            IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options);
            foreach (int k in new[] { model.Configuration.VocabularySize, int.MaxValue })
            {
                foreach (bool isWhole in new[] { true, false })
                {
                    ExitPolicy pruned = policy with { Pruning = VocabularyPruning.Fixed(k), FullVocabularyAtLastLayer = isWhole };
                    IReadOnlyList<GenerationResult> actual = model.Generate(inputs, options with { Exit = pruned });
                    for (int row = 0; row < inputs.Length; row++)
                    {
                        Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
                        Assert.Equal(expected[row].ExitLayers, actual[row].ExitLayers);
                        Assert.Equal(expected[row].Confidences, actual[row].Confidences);
                        Assert.Equal(expected[row].Steps!.SelectMany(step => step.Evaluations), actual[row].Steps!.SelectMany(step => step.Evaluations));
                        Assert.Equal(expected[row].Operations, actual[row].Operations);
                    }
                }
            }
        }
    }

    /// <summary>The published code's adaptive cuts have no lower bound: with scale 1 and a confidence of 1 nothing is left.</summary>
    [Theory]
    [InlineData(1f, 0)]
    [InlineData(1f - (1.5f / 1024), 1)]
    public void With_ReferenceCompatible_a_cut_that_leaves_no_confidence_says_so(float confidence, int left)
    {
        var sure = Confidence.Custom("sure", ConfidenceNeeds.Logits, _ => confidence);
        var policy = new ExitPolicy
        {
            MinimumLayer = 2, Threshold = 1, Confidence = sure, Pruning = VocabularyPruning.Adaptive(scale: 1, k: 700), ReferenceCompatible = true,
        };
        GenerationResult result = Generate(policy);
        Assert.Equal(StopReason.Error, result.StopReason);
        Assert.Equal(
            $"With ReferenceCompatible, Pruning leaves {left} of 1024 tokens for decoder layer 3 of token 0, where a confidence needs two: "
            + "the published code has no lower bound. Lower the pruning's scale, or set ReferenceCompatible to false.",
            result.Error);
        Assert.Null(Generate(policy with { ReferenceCompatible = false }).Error);
        Assert.Null(Generate(policy with { Pruning = VocabularyPruning.Adaptive(scale: 0.9f, k: 700) }).Error);

        static GenerationResult Generate(ExitPolicy policy) => TestModels.Model(TestModels.Exits).Generate(
            [GenerationInput.FromTokenIds([7, 99, 34, 1])], new TextGenerationOptions { MaxNewTokens = 3, Exit = policy })[0];
    }

    [Fact]
    public void A_first_cut_at_a_later_layer_ranks_by_the_first_layers_logits()
    {
        // 8000 and 300 of 8 layers: 1900, 1080, 752, 578 tokens after layers 1 to 4 of a vocabulary of 1024.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var policy = new DefinedPolicy { MinimumLayer = 1, Threshold = 1, Cut = DefinedCut.Decaying, KMax = 8000, KMin = 300, WholeAtLastLayer = false };
        var options = new DefinedOptions(MinimumLength: 20);
        var sequence = new DefinedSequence(model);
        for (int row = 0; row < 6; row++)
        {
            GenerationInput input = GenerationInput.FromTokenIds([7, 99, 34 + row, 1]);
            GenerationResult result = model.Generate([input], options.ToOptions(policy.ToPolicy(), 20))[0];
            Assert.Equal([1024, 1024, 752, 578], result.Steps![0].Evaluations.Take(4).Select(evaluation => evaluation.Rows));
            sequence.Follow(input, policy, options, result);
        }

        Assert.True(sequence.Compared > 25, $"Only {sequence.Compared} tokens were compared.");
    }
}
