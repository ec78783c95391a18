using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Exit.Thresholds;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ExitPolicyTests
{
    [Fact]
    public void Options_that_exclude_each_other_are_refused_by_name()
    {
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, MinimumLayer = 1 }, "StaticExitLayer", "MinimumLayer");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, Threshold = 0.5f }, "StaticExitLayer", "thresholds");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, ThresholdTemperature = 1 }, "StaticExitLayer", "thresholds");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, StatePropagation = StatePropagation.ParallelDecoding }, "StaticExitLayer", "ParallelDecoding");
        AssertRefused(new ExitPolicy { Threshold = 0.5f, Thresholds = [0, 0, 0, 0] }, "Threshold", "Thresholds");
        AssertRefused(new ExitPolicy { Thresholds = [0, 0, 0] }, "Thresholds", "4 decoder layers");
        AssertRefused(new ExitPolicy { MinimumLayer = 5 }, "MinimumLayer", "from 1 to 4");
        AssertRefused(new ExitPolicy { StaticExitLayer = 5 }, "StaticExitLayer", "from 1 to 4");
        AssertRefused(new ExitPolicy { AskLayers = [2, 4] }, "AskLayers is 4", "from 1 to 3");
        AssertRefused(new ExitPolicy { AskLayers = [1, 2], MinimumLayer = 3 }, "AskLayers", "MinimumLayer");
        AssertRefused(new ExitPolicy { AskLayers = [2], StaticExitLayer = 2 }, "AskLayers", "StaticExitLayer");
        AssertRefused(new ExitPolicy { AskLayers = [2], ShallowDeep = new ShallowDeep { ExitLayer = 2 } }, "AskLayers", "ShallowDeep");
        AssertRefused(new ExitPolicy { AskNearPrevious = 1, StaticExitLayer = 2 }, "AskNearPrevious", "StaticExitLayer");
        AssertRefused(new ExitPolicy { AskNearPrevious = 1, ShallowDeep = new ShallowDeep { ExitLayer = 2 } }, "AskNearPrevious", "ShallowDeep");
        AssertRefused(new ExitPolicy { AskNearPrevious = 1, SelfSpeculation = new SelfSpeculation() }, "AskNearPrevious", "SelfSpeculation");
        AssertRefused(new ExitPolicy { AskNearPrevious = 1, ReferenceCompatible = true }, "AskNearPrevious", "ReferenceCompatible");
        AssertRefused(new ExitPolicy { AskNearPrevious = 1, Confidence = Confidence.JsdContrastive() }, "AskNearPrevious", "jsdContrastive");
        AssertRefused(new ExitPolicy { AskLayers = [2], ReferenceCompatible = true }, "AskLayers", "ReferenceCompatible");
        AssertRefused(new ExitPolicy { AskLayers = [2], Confidence = Confidence.WeightedContrastive() }, "AskLayers", "weightedContrastive");
        AssertRefused(new ExitPolicy { AskLayers = [2], Confidence = Confidence.JsdContrastive() }, "AskLayers", "jsdContrastive");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, Thresholds = [0, 0, 0, 0] }, "StaticExitLayer", "thresholds");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, Pruning = VocabularyPruning.Fixed() }, "StaticExitLayer", "Pruning");
        AssertRefused(new ExitPolicy { StaticExitLayer = 2, ShallowDeep = new ShallowDeep { ExitLayer = 2 } }, "StaticExitLayer", "ShallowDeep");
        AssertRefused(new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 2 }, MinimumLayer = 2 }, "ShallowDeep", "MinimumLayer");
        AssertRefused(new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 2 }, Thresholds = [0, 0, 0, 0] }, "ShallowDeep", "Thresholds");
        AssertRefused(new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 2 }, Pruning = VocabularyPruning.Decaying() }, "ShallowDeep", "Pruning");
        AssertRefused(new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 4 } }, "ShallowDeep.ExitLayer", "from 1 to 3");
        AssertRefused(
            new ExitPolicy { Confidence = Confidence.HiddenStateSaturation, Pruning = VocabularyPruning.Fixed(100) }, "hiddenStateSaturation", "Pruning");
        var pruned = new ContrastiveOptions { PlausibilityFromPruning = true };
        AssertRefused(new ExitPolicy { Confidence = Confidence.WeightedContrastive(pruned) }, "PlausibilityFromPruning", "Pruning");
        AssertRefused(new ExitPolicy { Confidence = Confidence.JsdContrastive(pruned) }, "PlausibilityFromPruning", "Pruning");
    }

    [Fact]
    public void Layers_to_ask_after_are_a_set()
    {
        Assert.Equal([1, 3, 5], new ExitPolicy { AskLayers = [5, 1, 3] }.AskLayers!);
        Assert.Equal(new ExitPolicy { AskLayers = [5, 1, 3] }, new ExitPolicy { AskLayers = [1, 3, 5] });
        Assert.NotEqual(new ExitPolicy { AskLayers = [1, 3] }, new ExitPolicy { AskLayers = [1, 4] });
        Assert.NotEqual(new ExitPolicy { AskLayers = [1] }, new ExitPolicy());
        Assert.Throws<ArgumentException>(nameof(ExitPolicy.AskLayers), () => new ExitPolicy { AskLayers = [] });
        Assert.Throws<ArgumentException>(nameof(ExitPolicy.AskLayers), () => new ExitPolicy { AskLayers = [2, 3, 2] });
        Assert.Throws<ArgumentOutOfRangeException>(nameof(ExitPolicy.AskLayers), () => new ExitPolicy { AskLayers = [0, 2] });
        Assert.Contains("AskLayers = [1, 3]", new ExitPolicy { AskLayers = [1, 3] }.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Layers_near_the_previous_exit_are_counted_among_those_that_are_asked_after()
    {
        ExitPlan plan = ExitPlan.Create(new ExitPolicy { MinimumLayer = 2, AskLayers = [1, 2, 5, 6, 9], AskNearPrevious = 1 }, Layers(12), 10);
        Assert.Equal((2, 9), plan.AskedAfter(0));
        Assert.Equal((2, 5), plan.AskedAfter(2));
        Assert.Equal((2, 6), plan.AskedAfter(5));
        Assert.Equal((5, 9), plan.AskedAfter(6));
        Assert.Equal((6, 9), plan.AskedAfter(9));
        Assert.Equal((9, 9), plan.AskedAfter(12));
        plan = ExitPlan.Create(new ExitPolicy { MinimumLayer = 3, AskNearPrevious = 2 }, Layers(8), 10);
        Assert.Equal((3, 5), plan.AskedAfter(3));
        Assert.Equal((4, 7), plan.AskedAfter(6));
        Assert.Equal((6, 7), plan.AskedAfter(8));
        Assert.Throws<ArgumentOutOfRangeException>(nameof(ExitPolicy.AskNearPrevious), () => new ExitPolicy { AskNearPrevious = 0 });
        Assert.NotEqual(new ExitPolicy { AskNearPrevious = 1 }, new ExitPolicy { AskNearPrevious = 2 });
        Assert.Contains("AskNearPrevious = 2", new ExitPolicy { AskNearPrevious = 2 }.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void State_propagation_is_one_of_two_kinds()
    {
        Assert.Equal(StatePropagation.StateCopy, new ExitPolicy().StatePropagation);
        new ExitPolicy { StatePropagation = StatePropagation.ParallelDecoding }.Validate(Layers(4));
        new ExitPolicy { StaticExitLayer = 2, StatePropagation = StatePropagation.StateCopy }.Validate(Layers(4));
        Assert.Throws<ArgumentOutOfRangeException>(nameof(ExitPolicy.StatePropagation), () => new ExitPolicy { StatePropagation = (StatePropagation)2 });
    }

    [Fact]
    public void What_the_published_code_cannot_run_is_refused_with_ReferenceCompatible_and_runs_without()
    {
        ExitPolicy[] policies =
        [
            new() { MinimumLayer = 1, Confidence = Confidence.WeightedContrastive() },
            new() { MinimumLayer = 1, Confidence = Confidence.JsdContrastive() },
            new() { MinimumLayer = 2, Confidence = Confidence.JsdContrastive() },
            new() { MinimumLayer = 2, Pruning = VocabularyPruning.Fixed(1025) },
            new() { MinimumLayer = 1, Pruning = VocabularyPruning.Decaying(35000, 300) },
            new() { MinimumLayer = 2, Pruning = VocabularyPruning.Fixed(20), FullVocabularyAtLastLayer = false },
        ];
        string[] names = ["WeightedContrastive", "JsdContrastive", "JsdContrastive", "Pruning", "Pruning", "FullVocabularyAtLastLayer"];
        for (int index = 0; index < policies.Length; index++)
        {
            policies[index].Validate(Layers(4));
            AssertRefused(policies[index] with { ReferenceCompatible = true }, "ReferenceCompatible", names[index]);
        }

        (policies[0] with { MinimumLayer = 2, ReferenceCompatible = true }).Validate(Layers(4));
        (policies[2] with { MinimumLayer = 3, ReferenceCompatible = true }).Validate(Layers(4));
        (policies[3] with { Pruning = VocabularyPruning.Fixed(1024), ReferenceCompatible = true }).Validate(Layers(4));
    }

    [Fact]
    public void Numbers_that_cannot_be_are_refused_where_they_are_given()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Fixed(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Decaying(100, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Decaying(100, 101));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Adaptive(scale: 1.1f));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Adaptive(scale: float.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Adaptive(kMin: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => VocabularyPruning.Adaptive(k: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ContrastiveOptions { Alpha = -0.1f });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ContrastiveOptions { Alpha = float.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ContrastiveOptions { DecayRate = float.PositiveInfinity });
        Assert.Throws<ArgumentOutOfRangeException>(
            nameof(ContrastiveOptions.PlausibleSetWeight), () => new ContrastiveOptions { PlausibleSetWeight = (PlausibleSetWeight)2 });
        Assert.Throws<ArgumentOutOfRangeException>(nameof(ContrastiveOptions.Token), () => new ContrastiveOptions { Token = (ContrastiveToken)(-1) });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ShallowDeep { ExitLayer = 0 });
        Assert.Throws<ArgumentNullException>(() => new ExitPolicy { Confidence = null! });
        Assert.Throws<ArgumentNullException>(() => new ExitPolicy { Pruning = null! });
    }

    [Fact]
    public void What_speculation_and_learning_exclude_is_refused()
    {
        var speculation = new ExitPolicy { SelfSpeculation = new SelfSpeculation() };
        speculation.Validate(Layers(4));
        (speculation with { StaticExitLayer = 2, StatePropagation = StatePropagation.ParallelDecoding }).Validate(Layers(4));
        AssertRefused(
            speculation with { Confidence = Confidence.JsdContrastive(new ContrastiveOptions { Token = ContrastiveToken.Contrastive }) },
            "SelfSpeculation", "ContrastiveToken");
        AssertRefused(speculation with { ReferenceCompatible = true }, "SelfSpeculation", "ReferenceCompatible");
        AssertRefused(
            speculation with { Pruning = VocabularyPruning.Fixed(20), FullVocabularyAtLastLayer = false }, "SelfSpeculation", "FullVocabularyAtLastLayer");
        var learning = new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = 2, AdaptiveThreshold = true } };
        learning.Validate(Layers(4));
        AssertRefused(learning with { SelfSpeculation = new SelfSpeculation() }, "SelfSpeculation", "AdaptiveThreshold");
        AssertRefused(learning with { Confidence = Confidence.HiddenStateSaturation }, "AdaptiveThreshold", "hiddenStateSaturation");
        AssertRefused(learning with { ThresholdTemperature = 1 }, "AdaptiveThreshold", "ThresholdTemperature");
        AssertRefused(new ExitPolicy { Confidence = Confidence.Classifier([[1, 2]], [0]) }, "2 weights", "elements");
        Assert.Throws<ArgumentOutOfRangeException>(() => new SelfSpeculation { DraftTokens = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new SelfSpeculation { DraftTokens = 33 });
    }

    [Property(MaxTest = 300)]
    public Property Any_policy_is_refused_as_a_whole_or_makes_a_plan_that_covers_all_blocks() => Prop.ForAll(AnyPolicies.Policy.ToArbitrary(), policy =>
    {
        try
        {
            policy.Validate(Layers(6));
        }
        catch (ArgumentException)
        {
            return;
        }

        ExitPlan plan = ExitPlan.Create(policy, Layers(6), 10);
        int covered = 0;
        foreach (DecoderSegment segment in plan.Segments)
        {
            Assert.Equal(covered + 1, segment.FirstLayer);
            covered = segment.LastLayer;
        }

        Assert.Equal(policy.SelfSpeculation is null ? policy.StaticExitLayer ?? 6 : 6, covered);
        Assert.False(plan.Evaluates(covered));
        Assert.InRange(plan.Cuts.MostAlive, 2, 1024);
    });

    [Fact]
    public void Blocks_before_the_minimum_layer_form_one_segment()
    {
        Assert.Equal(
            [new DecoderSegment(1, 2), new DecoderSegment(3, 3), new DecoderSegment(4, 4)],
            ExitPlan.Create(new ExitPolicy { MinimumLayer = 2 }, Layers(4), 10).Segments);
        Assert.Equal(
            [new DecoderSegment(1, 3), new DecoderSegment(4, 6), new DecoderSegment(7, 8)],
            ExitPlan.Create(new ExitPolicy { MinimumLayer = 2, AskLayers = [1, 3, 6] }, Layers(8), 10).Segments);
        Assert.Equal(
            [new DecoderSegment(1, 2), new DecoderSegment(3, 3), new DecoderSegment(4, 8)],
            ExitPlan.Create(new ExitPolicy { AskLayers = [3], Confidence = Confidence.HiddenStateSaturation }, Layers(8), 10).Segments);
        Assert.Equal([new DecoderSegment(1, 4)], ExitPlan.Create(null, Layers(4), 10).Segments);
        Assert.Equal([new DecoderSegment(1, 4)], ExitPlan.Create(new ExitPolicy { MinimumLayer = 4 }, Layers(4), 10).Segments);
        Assert.Equal([new DecoderSegment(1, 3)], ExitPlan.Create(new ExitPolicy { StaticExitLayer = 3 }, Layers(4), 10).Segments);
    }

    [Fact]
    public void A_token_leaves_strictly_above_its_layers_threshold()
    {
        ExitPlan plan = ExitPlan.Create(new ExitPolicy { Thresholds = [0.5f, 0.25f, 1, 0] }, Layers(4), 10);
        Assert.False(plan.Exits(0.5f, 1, 0));
        Assert.True(plan.Exits(MathF.BitIncrement(0.5f), 1, 0));
        Assert.True(plan.Exits(0.3f, 2, 0));
        Assert.False(plan.Exits(1f, 3, 0));
        Assert.False(plan.Exits(float.NaN, 1, 0));
    }

    [Theory]
    [InlineData(0.9f, 4f, 0, 0.91)]
    [InlineData(0.9f, 4f, 5, 0.9 * 0.9 + 0.1 * 0.1353352832366127)]
    [InlineData(0.9f, 4f, 10, 0.9 * 0.9 + 0.1 * 0.01831563888873418)]
    [InlineData(1f, 2f, 0, 1.0)]
    [InlineData(0f, 1f, 0, 0.1)]
    [InlineData(0.5f, 0f, 7, 0.5)]
    public void The_threshold_decays_with_the_position_as_CALM_says(float threshold, float temperature, int position, double expected)
    {
        var schedule = new ThresholdSchedule(new ExitPolicy { Threshold = threshold, ThresholdTemperature = temperature }, 4, 10);
        Assert.Equal(expected, schedule.At(2, position), 1e-6);
    }

    [Fact]
    public void A_decaying_threshold_reaches_the_tokens()
    {
        // The same policy with and without decay: the first token's threshold is above, the last one's below what it was.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([5, 6, 7, 1])];
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 40, MinNewTokens = 40, Trace = true, Exit = new ExitPolicy { Threshold = 0.6f, ThresholdTemperature = 8 },
        };
        GenerationResult result = model.Generate(inputs, options)[0];
        var schedule = new ThresholdSchedule(options.Exit, 8, 40);
        for (int position = 0; position < 40; position++)
        {
            GenerationStep step = result.Steps![position];
            foreach (ConfidenceEvaluation evaluation in step.Evaluations)
                Assert.Equal(evaluation.Layer == step.ExitLayer && step.ExitLayer < 8, evaluation.Confidence > schedule.At(evaluation.Layer, position));
        }

        Assert.Contains(result.ExitLayers, layer => layer < 8);
    }

    [Property]
    public Property The_softmax_margin_is_that_of_the_definition() =>
        Prop.ForAll(
            Gen.Choose(-4000, 4000).ArrayOf().Where(values => values.Length >= 2).ToArbitrary(),
            values =>
            {
                float[] logits = [.. values.Select(value => value / 100f)];
                double max = logits.Max();
                double[] probabilities = [.. logits.Select(logit => Math.Exp(logit - max))];
                double sum = probabilities.Sum();
                double[] ranked = [.. probabilities.Select(probability => probability / sum).OrderDescending()];
                Assert.Equal(ranked[0] - ranked[1], Margin(logits), 1e-5);
            });

    [Fact]
    public void The_softmax_margin_of_what_is_no_number_is_no_number()
    {
        Assert.True(float.IsNaN(Margin([1, float.NaN, 2])));
        Assert.True(float.IsNaN(Margin([1, float.PositiveInfinity, 2])));
        Assert.True(float.IsNaN(Margin([float.NegativeInfinity, float.NegativeInfinity])));
        Assert.Equal(1, Margin(200, 0, 0));
        Assert.Equal(0, Margin(7, 7));
    }

    private static float Margin(params float[] logits)
    {
        var kept = new LayerLogits(count => new float[count]);
        kept.Set(logits, isFull: true, keep: true);
        return SoftmaxMargin.Of(kept);
    }

    private static T5Configuration Layers(int count) => Sizes.Of(count);

    private static void AssertRefused(ExitPolicy policy, params string[] names)
    {
        var exception = Assert.Throws<ArgumentException>(() => policy.Validate(Layers(4)));
        Assert.All(names, name => Assert.Contains(name, exception.Message, StringComparison.Ordinal));
    }
}
