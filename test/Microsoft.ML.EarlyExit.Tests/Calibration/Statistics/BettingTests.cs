using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class BettingTests
{
    [Fact]
    public void Capital_p_values_and_bounds_are_those_of_confseq()
    {
        foreach (JsonElement sample in CalibrationFixture.Read("wsr", "cases").EnumerateArray())
        {
            double[] losses = sample.Numbers("x");
            double alpha = sample.Number("alpha");
            Assert.Equal(sample.Integer("n"), losses.Length);

            // The bound is the border of what passes.
            double bound = sample.Number("upper_bound");
            Assert.True(bound == 1 || Betting.PValue(losses, bound + 1e-9, alpha) <= alpha);
            Assert.True(Betting.PValue(losses, bound - 1e-9, alpha) > alpha);
            foreach (JsonElement row in sample.GetProperty("p_values").EnumerateArray())
            {
                double delta = row.Number("delta");
                (double largest, double last) = Betting.LogCapital(losses, delta, alpha);
                Assert.Equal(row.Number("log_max_capital"), largest, 1e-9);
                Assert.Equal(row.Number("log_final_capital"), last, 1e-9);
                CalibrationFixture.EqualP(row.Number("p_running"), Betting.PValue(losses, delta, alpha), row);
                CalibrationFixture.EqualP(row.Number("p_final"), Math.Min(1, Math.Exp(-last)), row);
            }
        }
    }

    [Property]
    public Property The_p_value_is_at_most_one_and_falls_as_delta_rises() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta, level) =>
        {
            double p = Betting.PValue(losses, delta, level);
            Assert.InRange(p, 0, 1);
            Assert.True(Betting.PValue(losses, delta + ((1 - delta) / 3), level) <= p);
        });

    [Fact]
    public void What_comes_later_does_not_change_a_stake()
    {
        double[] losses = [0, 0.1, 0.9, 0, 0.3, 1, 0.2];
        double[] other = [0, 0.1, 0.9, 0, 1, 0, 0];
        var first = new BettingStakes(7, 0.9);
        var second = new BettingStakes(7, 0.9);
        for (int row = 0; row < 5; row++)
        {
            Assert.Equal(first.Next, second.Next);
            Assert.InRange(first.Next, 0, 1);
            first.Observe(losses[row]);
            second.Observe(other[row]);
        }

        Assert.NotEqual(first.Next, second.Next);
    }

    [Fact]
    public void Rows_without_loss_have_the_same_value_either_way()
    {
        foreach (int count in (int[])[1, 2, 17, 300])
            Assert.Equal(Betting.PValue(new double[count], 0.07, 0.03), Betting.PValueOfZeros(count, 0.07, 0.03));
    }
}
