using FsCheck;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Tool.Figures.Scores;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class RankHistogramTests
{
    private static readonly double[] s_shares = [0, 0.05, 0.1, 0.25, 1 / 3.0, 0.5, 0.75, 0.95, 1];

    [Property]
    public void Quantiles_are_those_of_the_sorted_ranks(NonEmptyArray<NonNegativeInt> ranks)
    {
        var histogram = new RankHistogram();
        foreach (NonNegativeInt rank in ranks.Get)
            histogram.Add(rank.Get);
        int[] sorted = [.. ranks.Get.Select(rank => rank.Get).Order()];

        double[] quantiles = histogram.Quantiles(s_shares);

        Assert.Equal(sorted.Length, histogram.Count);
        for (int index = 0; index < s_shares.Length; index++)
            Assert.Equal(Naive(sorted, s_shares[index]), quantiles[index], 1e-9);
    }

    [Fact]
    public void Quantiles_of_known_ranks_are_numpy_s()
    {
        var histogram = new RankHistogram();
        foreach (int rank in (int[])[3, 0, 0, 10, 2, 7])
            histogram.Add(rank);
        Assert.Equal([0, 0.5, 2.5, 6, 9.25, 10], histogram.Quantiles(0, 0.25, 0.5, 0.75, 0.95, 1).Select(value => Math.Round(value, 12)));
    }

    [Fact]
    public void Without_ranks_there_is_no_quantile() => Assert.All(new RankHistogram().Quantiles(0, 0.5, 1), value => Assert.True(double.IsNaN(value)));

    private static double Naive(int[] sorted, double share)
    {
        double position = (sorted.Length - 1) * share;
        int below = (int)Math.Floor(position);
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((position - below) * (sorted[above] - sorted[below]));
    }
}
