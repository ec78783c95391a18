using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ExactBinomialTests
{
    [Fact]
    public void P_values_are_those_of_scipy()
    {
        foreach (JsonElement row in CalibrationFixture.Read("binomial", "p_values").EnumerateArray())
        {
            double[] losses = new double[row.Integer("n")];
            losses.AsSpan(0, row.Integer("k")).Fill(1);
            CalibrationFixture.EqualP(row.Number("p"), ExactBinomial.PValue(losses, row.Number("delta")), row);
        }
    }

    /// <summary>Clopper and Pearson's bounds are where the p-value, from above or from below, is ε.</summary>
    [Fact]
    public void P_values_at_the_Clopper_Pearson_bounds_of_scipy_are_epsilon()
    {
        foreach (JsonElement row in CalibrationFixture.Read("binomial", "clopper_pearson").EnumerateArray())
        {
            int n = row.Integer("n");
            int k = row.Integer("k");
            double epsilon = row.Number("epsilon");
            if (k < n)
                Assert.Equal(epsilon, ExactBinomial.PValue(k, n, row.Number("upper")), 1e-9);
            if (k > 0)
                Assert.Equal(epsilon, ExactBinomial.PValue(n - k, n, 1 - row.Number("lower")), 1e-9);
        }
    }

    [Property]
    public Property It_is_never_above_Hoeffding_and_Bentkus() =>
        Prop.ForAll(Samples.ZerosAndOnes.ToArbitrary(), Samples.Unit.ToArbitrary(), (losses, delta) =>
            Assert.True(ExactBinomial.PValue(losses, delta) <= HoeffdingBentkus.PValue(losses, delta) * (1 + 1e-12)));

    [Property]
    public Property It_rises_with_the_ones_and_falls_with_delta() =>
        Prop.ForAll(Gen.Choose(1, 3000).ToArbitrary(), Samples.Unit.ToArbitrary(), Samples.Unit.ToArbitrary(), (n, share, delta) =>
        {
            int k = (int)(share * n);
            double p = ExactBinomial.PValue(k, n, delta);
            Assert.InRange(p, 0, 1);
            Assert.True(ExactBinomial.PValue(k + 1, n, delta) >= p * (1 - 1e-11));
            Assert.True(ExactBinomial.PValue(k, n, delta + ((1 - delta) / 5)) <= p * (1 + 1e-11));
        });

    [Theory]
    [InlineData(0.5)]
    [InlineData(1e-300)]
    [InlineData(double.NaN)]
    [InlineData(-1)]
    [InlineData(2)]
    public void Other_losses_are_refused_by_their_row(double loss)
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => ExactBinomial.PValue([0, 1, 0, loss, 0.5], 0.1));

        Assert.Contains("row 3", error.Message);
    }
}
