using FsCheck;
using FsCheck.Fluent;
using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Confidences, alive sets and amateurs of tokens whose hidden states are given, against the definitions.</summary>
public sealed class ConfidenceMeasureTests
{
    private const double Tolerance = 1e-4;

    private static readonly T5Configuration s_deep = Sizes.Of(8);
    private static readonly T5Configuration[] s_sizes =
        [s_deep, Sizes.Of(4, 32, 384), Sizes.Of(3, 40, 300) with { ScaleDecoderOutputs = false }, Sizes.Of(6, 24, 256)];

    private static readonly Dictionary<T5Configuration, DefinedHead> s_heads = s_sizes.ToDictionary(sizes => sizes, sizes => new DefinedHead(sizes, seed: 3));

    public static TheoryData<int> MinimumLayers => [1, 2, 3, 5, 7];

    [Theory]
    [MemberData(nameof(MinimumLayers))]
    public void Every_measure_with_every_pruning_is_its_definition(int minimumLayer)
    {
        var count = new Counter();
        foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(minimumLayer, 1))
        {
            for (int seed = 0; seed < 8; seed++)
                Follow(s_deep, policy, 100 * seed + minimumLayer, count);
        }

        count.AssertMostCompared();
    }

    [Fact]
    public void Any_policy_is_its_definition()
    {
        // One body, so that what was skipped is counted over all of them.
        var count = new Counter();
        foreach (T5Configuration configuration in s_sizes)
        {
            int seed = 0;
            Prop.ForAll(
                DefinedPolicy.Any(configuration.DecoderLayerCount, configuration.VocabularySize).ToArbitrary(),
                policy => Follow(configuration, policy, seed++, count))
                .Check(Config.QuickThrowOnFailure.WithMaxTest(150));
        }

        count.AssertMostCompared();
    }

    [Fact]
    public void A_tokens_contrastive_score_can_choose_another_than_the_experts()
    {
        var count = new Counter();
        for (int seed = 0; seed < 40; seed++)
        {
            Follow(s_deep, new DefinedPolicy { MinimumLayer = 2, Measure = DefinedMeasure.Weighted, ChoosesContrastive = true, Alpha = 1e-3f }, seed, count);
            Follow(
                s_deep, new DefinedPolicy { MinimumLayer = 2, Measure = DefinedMeasure.Jsd, ChoosesContrastive = true, Cut = DefinedCut.Fixed, K = 50 },
                seed, count);
        }

        count.AssertMostCompared();
        Assert.True(count.Contrastive > 20, $"Only {count.Contrastive} choices differed from the expert's.");
    }

    [Fact]
    public void A_probability_of_zero_in_the_amateur_counts_as_the_smallest_normal_number()
    {
        // The amateur's logits lie so far apart that the expert's second token has probability 0 there.
        var plan = ExitPlan.Create(
            new ExitPolicy { MinimumLayer = 1, Confidence = Confidence.WeightedContrastive(), Threshold = 1 }, s_deep, 10);
        var token = new TokenState(plan, new EvaluationScratch(1024), count => new float[count]);
        float[] hidden = new float[48];
        token.Begin(0);
        float[] amateur = [.. Enumerable.Repeat(-500f, 1024)];
        amateur[3] = 500;
        float[] expert = [.. Enumerable.Repeat(-50f, 1024)];
        (expert[3], expert[9]) = (1, 0.5f);
        token.Reach(1, hidden);
        token.Logits.Set(amateur, isFull: true, keep: true);
        token.Reach(2, hidden);
        token.Logits.Set(expert, isFull: true, keep: true);

        // ln p - ln q is about -0.5 for token 3 and -1 + 87.3 for token 9, which takes all of the head set's mass.
        Assert.Equal(1, plan.Confidence!.Evaluate(token), 1e-5);
    }

    public static TheoryData<float> NoNumbers => [float.NaN, float.PositiveInfinity];

    [Theory]
    [MemberData(nameof(NoNumbers))]
    public void A_hidden_state_that_holds_no_number_gives_none(float value)
    {
        foreach (DefinedPolicy policy in DefinedPolicy.EveryMeasureAndCut(3, 1))
        {
            float[][] hidden = Hidden(s_deep, 7);
            hidden[5][11] = value;
            var driven = new DrivenToken(s_deep, s_heads[s_deep], policy.ToPolicy(), hidden);
            for (int layer = 3; layer < 5; layer++)
                Assert.InRange(driven.Evaluate(layer), 0, 1);
            Assert.Equal(float.NaN, driven.Evaluate(5));
        }
    }

    private static void Follow(T5Configuration sizes, DefinedPolicy policy, int seed, Counter count)
    {
        int layers = sizes.DecoderLayerCount;
        DefinedHead head = s_heads[sizes];
        float[][] hidden = Hidden(sizes, seed);
        var defined = new DefinedToken(policy, layers, head, layer => hidden[layer]);
        var driven = new DrivenToken(sizes, head, policy.ToPolicy(), hidden);
        bool[]? before = null;
        IReadOnlyList<int> asked = policy.Asked(layers, previousExit: null);
        for (int index = 0; index < asked.Count; index++)
        {
            int layer = asked[index], later = asked.Count - index - 1;
            count.All++;
            if (!defined.Evaluate(layer))
            {
                // The alive sets may differ from here on.
                count.Skipped += 1 + later;
                count.All += later;
                return;
            }

            float confidence = driven.Evaluate(layer);
            bool[] alive = driven.Alive();
            Assert.Equal(defined.Alive(layer), alive);
            Assert.True(before is null || alive.Zip(before).All(pair => !pair.First || pair.Second));
            before = alive;
            if (defined.IsNearTie)
            {
                count.Skipped++;
                if (policy.Cut == DefinedCut.Adaptive)
                {
                    // The next cut depends on a confidence that may differ.
                    count.Skipped += later;
                    count.All += later;
                    return;
                }
            }
            else
            {
                Assert.Equal(defined.Amateur, driven.Token.AmateurLayer);
                Assert.Equal(defined.Confidence, confidence, Tolerance);
                int? choice = defined.Choose(layer, new DefinedOptions(), [0]);
                if (!defined.IsNearTie)
                {
                    Assert.Equal(choice, driven.Choose());
                    var expert = new DefinedToken(policy with { ChoosesContrastive = false }, layers, head, at => hidden[at]);
                    count.Contrastive += choice != expert.Choose(layer, new DefinedOptions(), [0]) ? 1 : 0;
                }
            }

            driven.Token.Prune(confidence);
        }
    }

    /// <summary>States that turn, layer by layer, towards some tokens' rows of the head, so that confidences of all sizes occur.</summary>
    private static float[][] Hidden(T5Configuration sizes, int seed)
    {
        var random = new Random(seed);
        int width = sizes.ModelDimension;
        float[] target = Row();
        float[] other = Row();
        float length = MathF.Sqrt(target.Sum(value => value * value) / width);
        float noise = length * random.NextSingle() * 3;
        var hidden = new float[sizes.DecoderLayerCount + 1][];
        for (int layer = 0; layer < hidden.Length; layer++)
        {
            float pull = random.NextSingle() * 2 * layer / hidden.Length;
            float otherPull = random.NextSingle() * layer / hidden.Length;
            hidden[layer] = [.. Enumerable.Range(0, width).Select(column =>
                (layer == 0 ? 0 : 0.6f * hidden[layer - 1][column]) + (pull * target[column]) + (otherPull * other[column])
                + (noise * ((2 * random.NextSingle()) - 1)))];
        }

        return hidden;

        float[] Row() => [.. s_heads[sizes].Row(random.Next(sizes.VocabularySize)).Select(weight => (float)weight)];
    }

    private sealed class Counter
    {
        public int All { get; set; }

        public int Skipped { get; set; }

        public int Contrastive { get; set; }

        public void AssertMostCompared()
        {
            Assert.True(All > 100);
            Assert.True(Skipped < All / 4, $"{Skipped} of {All} evaluations were too close to call.");
        }
    }
}
