using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class RiskTestsTests
{
    [Property(MaxTest = 60)]
    public Property The_smallest_row_count_passes_without_loss_and_one_less_does_not() =>
        Prop.ForAll(
            Gen.Elements(Enum.GetValues<RiskTest>()).ToArbitrary(), Gen.Choose(3, 900).ToArbitrary(), Gen.Choose(1, 900).ToArbitrary(),
            (test, first, second) =>
            {
                double delta = first / 1000.0;
                double level = second / 1000.0;
                int count = test.SmallestRowCount(delta, level)!.Value;

                Assert.True(test.PValue(new double[count], delta, level) <= level);
                Assert.True(count == 1 || test.PValue(new double[count - 1], delta, level) > level);
            });

    [Theory]
    [InlineData(0.05, 0.05, 59)]
    [InlineData(0.1, 0.05, 29)]
    [InlineData(0.2, 0.1, 11)]
    [InlineData(0.5, 0.25, 2)]
    [InlineData(0.5, 0.126, 3)]
    [InlineData(0.9, 0.5, 1)]
    [InlineData(0.001, 0.0001, 9206)]
    public void Without_stakes_it_is_the_logarithms_quotient_rounded_up(double delta, double level, int count)
    {
        Assert.Equal(count, RiskTest.Binomial.SmallestRowCount(delta, level));
        Assert.Equal(count, RiskTest.HoeffdingBentkus.SmallestRowCount(delta, level));
    }

    [Fact]
    public void A_count_that_nobody_has_is_null()
    {
        Assert.All(Enum.GetValues<RiskTest>(), test => Assert.Null(test.SmallestRowCount(1e-9, 0.05)));
        Assert.All(Enum.GetValues<RiskTest>(), test => Assert.Null(test.SmallestRowCount(1e-300, 0.05)));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(-0.001)]
    [InlineData(1.001)]
    [InlineData(double.PositiveInfinity)]
    public void A_bad_loss_is_an_error_that_names_its_row(double loss)
    {
        foreach (RiskTest test in Enum.GetValues<RiskTest>())
            Assert.Contains("row 2", Assert.Throws<ArgumentException>(() => test.PValue([0, 1, loss], 0.1, 0.05)).Message);
        Assert.Contains("row 2", Assert.Throws<ArgumentException>(() => ConformalRiskControl.AdjustedRisk([0, 1, loss])).Message);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(-0.1)]
    public void Delta_and_epsilon_are_within_the_open_unit_interval(double value)
    {
        foreach (RiskTest test in Enum.GetValues<RiskTest>())
        {
            Assert.Throws<ArgumentOutOfRangeException>("delta", () => test.PValue([0, 1], value, 0.05));
            Assert.Throws<ArgumentOutOfRangeException>("delta", () => test.SmallestRowCount(value, 0.05));
            Assert.Throws<ArgumentOutOfRangeException>("level", () => test.SmallestRowCount(0.05, value));
        }

        Assert.Throws<ArgumentOutOfRangeException>("level", () => RiskTest.Wsr.PValue([0, 1], 0.1, value));
        Assert.Throws<ArgumentOutOfRangeException>("epsilon", () => LearnThenTest.Level(RiskProcedure.Holm, Candidate.All(1, 2), value));
        Assert.Throws<ArgumentOutOfRangeException>("epsilon", () => LearnThenTest.Walk(RiskProcedure.Holm, Candidate.All(1, 1), value, _ => 0, _ => 0.1));
        Assert.Throws<ArgumentOutOfRangeException>("delta", () => ConformalRiskControl.Walk(Candidate.All(1, 1), value, _ => 0.1));
        Assert.Throws<ArgumentOutOfRangeException>("delta", () => new RiskMonitor(value));
        Assert.Throws<ArgumentOutOfRangeException>("alpha", () => new RiskMonitor(0.1, value));
    }

    [Fact]
    public void Nothing_cannot_be_tested()
    {
        Assert.All(Enum.GetValues<RiskTest>(), test => Assert.Throws<ArgumentException>(() => test.PValue([], 0.1, 0.05)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ((RiskTest)7).PValue([0], 0.1, 0.05));
        Assert.Throws<ArgumentOutOfRangeException>(() => ((RiskTest)7).SmallestRowCount(0.1, 0.05));
    }
}
