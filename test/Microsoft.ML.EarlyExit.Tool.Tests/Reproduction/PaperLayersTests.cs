using Microsoft.ML.EarlyExit.Reproduction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class PaperLayersTests
{
    [Theory]
    [InlineData(7, 24, 7)]
    [InlineData(2, 24, 2)]
    [InlineData(24, 24, 23)]
    [InlineData(7, 12, 4)]
    [InlineData(15, 12, 8)]
    [InlineData(17, 12, 9)]
    [InlineData(2, 12, 1)]
    [InlineData(2, 6, 1)]
    [InlineData(1, 4, 1)]
    [InlineData(20, 4, 3)]
    [InlineData(19, 2, 1)]
    [InlineData(7, 48, 14)]
    public void A_layer_stands_where_it_does_in_the_papers_model(int layer, int depth, int expected) => Assert.Equal(expected, PaperLayers.Scale(layer, depth));

    [Fact]
    public void Layers_that_fall_together_are_one() => Assert.Equal([8, 9, 10], PaperLayers.Scale(PaperLayers.Table1, 12));

    [Fact]
    public void In_the_papers_own_depth_nothing_moves() => Assert.Equal(PaperLayers.Curves, PaperLayers.Scale(PaperLayers.Curves, PaperLayers.Depth));

    [Fact]
    public void All_layers_can_be_left_after()
    {
        for (int depth = 2; depth <= 100; depth++)
        {
            int[] scaled = [.. Enumerable.Range(1, PaperLayers.Depth).Select(layer => PaperLayers.Scale(layer, depth))];
            Assert.All(scaled, layer => Assert.InRange(layer, 1, depth - 1));
            Assert.Equal(scaled.Order(), scaled);
        }
    }
}
