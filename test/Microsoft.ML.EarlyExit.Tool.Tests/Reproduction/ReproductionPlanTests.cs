using System.Text.Json;
using Microsoft.ML.EarlyExit.Reproduction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class ReproductionPlanTests
{
    [Theory]
    [InlineData(4, 27)]
    [InlineData(12, 74)]
    [InlineData(24, 98)]
    public void Cells_that_figures_share_are_run_once(int layers, int expected)
    {
        ReproductionPlan plan = Plan(layers);
        Assert.Equal(expected, plan.Cells.Count);
        Assert.Equal(expected, plan.Cells.Select(cell => cell.Name).Distinct().Count());
        Assert.All(plan.Cells, cell => Assert.True(cell.Weight > 0));
    }

    [Fact]
    public void Every_figure_finds_its_cells_whatever_minimum_layers_are_asked_for()
    {
        ReproductionPlan plan = Plan(12, 3, 7);
        HashSet<string> names = [.. plan.Cells.Select(cell => cell.Name)];
        Assert.Equal([3, 7], plan.Curve);
        Assert.Equal((4, 1, 10), (plan.PreTrained, plan.FineTuned, plan.Late));
        AssertAll(
            from pruning in (string[])["none", "fixed", "decaying", "adaptive"] from layer in plan.EarlyLayers
            select ReproductionPlan.Name("softmax", pruning, layer));
        AssertAll(from pruning in (string[])["fixed", "decaying", "adaptive"] from layer in plan.Table1 select ReproductionPlan.Name("jsd", pruning, layer));
        AssertAll(
            from layer in plan.ComparedLayers from name in (string[])["softmax-none", "softmax-fixed", "jsd-none", "jsd-adaptive"] select $"{name}-{layer:D2}");
        AssertAll(from layer in plan.Curve from name in (string[])["softmax-none", "weighted-none", "jsd-none", "jsd-decaying"] select $"{name}-{layer:D2}");
        AssertAll(Enumerable.Range(1, 12).Select(plan.StaticName));

        void AssertAll(IEnumerable<string> needed) => Assert.All(needed, name => Assert.Contains(name, names));
    }

    private static ReproductionPlan Plan(int layers, params int[] minimumLayers)
    {
        // A configuration comes from a file alone.
        T5Configuration configuration = JsonSerializer.Deserialize<T5Configuration>(
            $$"""
            {
              "VocabularySize": 32128, "ModelDimension": 64, "KeyValueDimension": 16, "HeadCount": 4, "FeedForwardDimension": 128,
              "EncoderLayerCount": {{layers}}, "DecoderLayerCount": {{layers}}, "Activation": {{(int)T5Activation.Relu}}, "GatedFeedForward": false,
              "RelativeAttentionBucketCount": 32, "RelativeAttentionMaxDistance": 128, "LayerNormEpsilon": 1e-6, "ScaleDecoderOutputs": true,
              "PadTokenId": 0, "EndOfSequenceTokenId": 1, "DecoderStartTokenId": 0
            }
            """)!;
        return new ReproductionPlan("m", configuration, minimumLayers.Length == 0 ? null : minimumLayers, 0.9f, samples: 10, latencyRows: 5);
    }
}
