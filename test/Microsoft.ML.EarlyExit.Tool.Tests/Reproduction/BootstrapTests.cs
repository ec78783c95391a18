using Microsoft.ML.EarlyExit.Reproduction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class BootstrapTests
{
    [Fact]
    public void Rows_that_agree_leave_no_doubt() => Assert.Equal(new Estimate(3, 3, 3), Bootstrap.Mean([3, 3, 3, 3], seed: 1));

    [Fact]
    public void The_interval_is_the_normal_one_where_that_holds()
    {
        var random = new Random(5);
        double[] values = [.. Enumerable.Range(0, 400).Select(_ => random.NextDouble())];
        double mean = values.Average();
        double error = Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Length - 1) / values.Length);
        Estimate estimate = Bootstrap.Mean(values, seed: 1);
        Assert.Equal(mean, estimate.Value, 12);
        Assert.Equal(mean - (1.96 * error), estimate.Low, error * 0.25);
        Assert.Equal(mean + (1.96 * error), estimate.High, error * 0.25);
    }

    [Fact]
    public void A_seed_gives_the_same_interval_again_and_another_one_another()
    {
        double[] values = [1, 5, 2, 8, 3];
        Assert.Equal(Bootstrap.Mean(values, seed: 3), Bootstrap.Mean(values, seed: 3));
        Assert.NotEqual(Bootstrap.Of(50, 3, rows => rows[0] * 1.5), Bootstrap.Of(50, 4, rows => rows[0] * 1.25));
    }
}
