using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class HoeffdingBentkusTests
{
    [Fact]
    public void P_values_and_both_bounds_are_those_of_scipy_and_MAPIE()
    {
        int tight = 0;
        foreach (JsonElement row in CalibrationFixture.Read("hoeffding-bentkus", "cases").EnumerateArray())
        {
            int n = row.Integer("n");
            double mean = row.Number("rhat");
            double delta = row.Number("delta");
            CalibrationFixture.EqualP(row.Number("hoeffding"), HoeffdingBentkus.Hoeffding(n, mean, delta), row);
            CalibrationFixture.EqualP(row.Number("bentkus"), HoeffdingBentkus.Bentkus(n, row.Integer("ceil"), delta), row);

            double[] losses = new double[n];
            if (row.TryGetProperty("k", out JsonElement k))
                losses.AsSpan(0, k.GetInt32()).Fill(1);
            else
                losses.AsSpan().Fill(mean);
            bool hasTight = row.TryGetProperty("p_with_k", out JsonElement withK);
            tight += hasTight ? 1 : 0;
            CalibrationFixture.EqualP(hasTight ? withK.GetDouble() : row.Number("p"), HoeffdingBentkus.PValue(losses, delta), row);
        }

        Assert.Equal(11, tight);
    }

    [Property]
    public Property The_p_value_is_at_most_one_and_rises_with_any_loss() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
        {
            double before = HoeffdingBentkus.PValue(losses, delta);
            Assert.InRange(before, 0, 1);
            for (int row = 0; row < losses.Length; row += 7)
            {
                double[] more = [.. losses];
                more[row] = Math.Min(1, more[row] + 0.25);
                Assert.True(HoeffdingBentkus.PValue(more, delta) >= before * (1 - 1e-12));
            }
        });

    [Property]
    public Property The_p_value_falls_as_delta_rises() =>
        Prop.ForAll(Samples.Losses.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
            Assert.True(HoeffdingBentkus.PValue(losses, delta + ((1 - delta) / 3)) <= HoeffdingBentkus.PValue(losses, delta) * (1 + 1e-12)));

    [Theory]
    [InlineData(0.1, 10)]
    [InlineData(0.7, 10)]
    [InlineData(0.3, 1000)]
    [InlineData(1.0 / 3, 9999)]
    public void Losses_that_sum_to_a_whole_number_have_its_tail_and_not_the_next(double loss, int count)
    {
        double[] losses = Enumerable.Repeat(loss, count).ToArray();
        int whole = (int)Math.Round(loss * count);

        Assert.Equal(whole, LossSum.Of(losses).Ceiling);
        losses[0] += 1e-6;
        Assert.Equal(whole + 1, LossSum.Of(losses).Ceiling);
    }

    [Fact]
    public void The_order_of_losses_does_not_matter_to_the_last_bit()
    {
        var random = new Random(3);
        double[] losses = [.. Enumerable.Range(0, 1000).Select(_ => Math.Pow(random.NextDouble(), 9))];
        double expected = HoeffdingBentkus.PValue(losses, 0.15);

        for (int shuffle = 0; shuffle < 20; shuffle++)
        {
            random.Shuffle(losses);
            Assert.Equal(expected, HoeffdingBentkus.PValue(losses, 0.15));
        }
    }

    [Fact]
    public void A_sum_of_a_million_losses_is_exact()
    {
        var sum = default(LossSum);
        for (int row = 0; row < 1_000_000; row++)
            sum.Add(row % 2 == 0 ? 1 : double.Epsilon);

        Assert.Equal((500_000.0, 500_000L, 0.5), (sum.Total, sum.Ceiling, sum.Mean));
    }
}
