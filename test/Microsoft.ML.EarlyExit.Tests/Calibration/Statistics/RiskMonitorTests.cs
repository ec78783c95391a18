using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class RiskMonitorTests
{
    [Property]
    public Property The_capital_is_that_of_bets_laid_out_for_every_beginning() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
        {
            // The definition, without recursion or scale: every beginning and every bet has its own product.
            double[] bets = [1.0 / 128, 1.0 / 64, 1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2, 7.0 / 8];
            double expected = Reserve(losses.Length);
            for (int from = 0; from < losses.Length; from++)
            {
                foreach (double bet in bets)
                {
                    double product = losses[from..].Aggregate(1.0, (product, loss) => product * (1 + (bet / delta * (loss - delta))));
                    expected += (Reserve(from) - Reserve(from + 1)) / bets.Length * product;
                }
            }

            RiskMonitorState state = After(delta, losses);
            Assert.Equal(losses.Average(), state.MeanLoss, 1e-12);
            Assert.True(double.IsInfinity(expected) || Math.Abs(state.EValue - expected) <= 1e-9 * expected, $"{state.EValue} is not {expected}");

            static double Reserve(int rows) => 1 / (1 + Math.Log(1.0 + rows));
        });

    [Property]
    public Property No_bet_gains_on_average_at_delta() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
        {
            double before = After(delta, losses).EValue;
            double zero = After(delta, [.. losses, 0]).EValue;
            double one = After(delta, [.. losses, 1]).EValue;
            double half = After(delta, [.. losses, 0.5]).EValue;

            if (before < 1e100 && one < 1e300)
            {
                Assert.Equal(before, (delta * one) + ((1 - delta) * zero), 1e-9 * before);
                Assert.Equal((zero + one) / 2, half, 1e-9 * Math.Max(1, one));
            }
        });

    [Property]
    public Property More_loss_is_never_less_capital() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
        {
            double[] more = [.. losses.Select((loss, row) => row % 3 == 0 ? Math.Min(1, loss + 0.2) : loss)];
            Assert.True(After(delta, more).EValue >= After(delta, losses).EValue * (1 - 1e-9));
        });

    [Property]
    public Property The_p_value_never_rises_and_drift_stays_declared() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta, alpha) =>
        {
            var monitor = new RiskMonitor(delta, alpha);
            RiskMonitorState before = monitor.State;
            double largest = 1;
            foreach (double loss in losses)
            {
                RiskMonitorState state = monitor.Add(loss);
                largest = Math.Max(largest, state.EValue);
                Assert.Equal(before.Count + 1, state.Count);
                Assert.True(state.PValue <= before.PValue);
                Assert.True(state.HasDrifted || !before.HasDrifted);
                Assert.Equal(state.PValue <= alpha, state.HasDrifted);
                Assert.True(double.IsInfinity(largest) || Math.Abs((state.PValue * largest) - 1) < 1e-9);
                Assert.Equal(state, monitor.State);
                before = state;
            }

            Assert.Equal(before.HasDrifted, monitor.HasDrifted);
        });

    [Fact]
    public void A_monitor_that_has_seen_nothing_says_so()
    {
        Assert.Equal(new RiskMonitorState(0, double.NaN, 1, 1, false), new RiskMonitor(0.1).State);
        Assert.Equal(0.05, new RiskMonitor(0.1).Alpha);
    }

    [Fact]
    public void Losses_at_delta_change_nothing()
    {
        RiskMonitorState state = After(0.25, Enumerable.Repeat(0.25, 100_000));

        Assert.Equal(1, state.EValue, 1e-9);
        Assert.Equal(1, state.PValue, 1e-9);
    }

    [Fact]
    public void Drift_after_a_long_good_time_is_still_found_soon()
    {
        var monitor = new RiskMonitor(0.1, 0.01);
        for (int row = 0; row < 1_000_000; row++)
            Assert.False(monitor.Add(0).HasDrifted);

        int delay = 0;
        for (; !monitor.HasDrifted; delay++)
            monitor.Add(0.5);

        Assert.InRange(delay, 2, 40);
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(1e-320)]
    [InlineData(0.999999)]
    public void Capital_neither_overflows_nor_is_lost_for_good(double delta)
    {
        var monitor = new RiskMonitor(delta);
        foreach (double loss in (double[])[1, 0, 1])
        {
            for (int row = 0; row < 5_000; row++)
                Assert.False(double.IsNaN(monitor.Add(loss).EValue));
        }

        RiskMonitorState state = monitor.State;
        Assert.Equal(15_000, state.Count);
        Assert.InRange(state.PValue, 0, 1);
        Assert.InRange(state.EValue, 1e-3, double.PositiveInfinity);
    }

    [Theory]
    [InlineData(double.NaN, "NaN")]
    [InlineData(-0.5, "-0.5")]
    [InlineData(1.5, "1.5")]
    public void A_bad_loss_is_refused_by_value_and_index_and_changes_nothing(double loss, string value)
    {
        var monitor = new RiskMonitor(0.1);
        monitor.Add(0.5);
        RiskMonitorState before = monitor.Add(0.25);

        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>("loss", () => monitor.Add(loss));

        Assert.Contains("index 2", error.Message);
        Assert.Contains(value, error.Message);
        Assert.Equal(before, monitor.State);
    }

    [Fact]
    public void Several_threads_lose_no_loss()
    {
        var monitor = new RiskMonitor(0.1);
        Parallel.For(0, 4, _ =>
        {
            for (int row = 0; row < 5_000; row++)
                monitor.Add(row % 10 == 0 ? 1 : 0);
        });

        Assert.Equal((20_000, 0.1), (monitor.State.Count, monitor.State.MeanLoss));
    }

    private static RiskMonitorState After(double delta, IEnumerable<double> losses)
    {
        var monitor = new RiskMonitor(delta);
        foreach (double loss in losses)
            monitor.Add(loss);
        return monitor.State;
    }
}
