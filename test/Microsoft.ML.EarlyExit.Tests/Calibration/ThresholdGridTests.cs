using Microsoft.ML.EarlyExit.Calibration;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ThresholdGridTests
{
    [Fact]
    public void The_default_grid_goes_from_1_to_a_twentieth()
    {
        Assert.Equal(35, ThresholdGrid.Default.Count);
        Assert.Equal([1f, 0.98f, 0.96f], ThresholdGrid.Default.Take(3));
        Assert.Equal([0.52f, 0.5f, 0.45f], ThresholdGrid.Default.Skip(24).Take(3));
        Assert.Equal(0.05f, ThresholdGrid.Default[^1]);
        ThresholdGrid.Check([.. ThresholdGrid.Default]);
    }

    [Theory]
    [InlineData(new[] { 1f, 0.5f, 0.5f }, "index 2")]
    [InlineData(new[] { 0.5f, 0.6f }, "index 1")]
    [InlineData(new[] { 1.01f, 0.6f }, "index 0")]
    [InlineData(new[] { 1f, 0.6f, -0.01f }, "index 2")]
    [InlineData(new[] { 1f, float.NaN }, "index 1")]
    [InlineData(new float[0], "no thresholds")]
    public void A_grid_that_does_not_decrease_within_0_and_1_is_refused(float[] grid, string expected) =>
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => ThresholdGrid.Check(grid)).Message);
}
