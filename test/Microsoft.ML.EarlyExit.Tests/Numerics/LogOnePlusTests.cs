using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LogOnePlusTests
{
    [Property]
    public Property Near_zero_it_has_the_digits_of_the_series() =>
        Prop.ForAll(Gen.Choose(-1_000_000, 1_000_000).ToArbitrary(), Gen.Choose(2, 30).ToArbitrary(), (millionths, exponent) =>
        {
            double x = millionths / 1e6 * Math.Pow(10, -exponent);
            double series = 0;
            for (int k = 12; k > 0; k--)
                series = x * (((k % 2 == 0 ? -1.0 : 1.0) / k) + series);
            Assert.Equal(series, LogOnePlus.At(x), 2e-15 * Math.Abs(series));
        });

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0.69314718055994529)]
    [InlineData(-0.5, -0.69314718055994529)]
    [InlineData(1e300, 690.77552789821368)]
    public void Elsewhere_it_is_the_logarithm(double x, double expected) => Assert.Equal(expected, LogOnePlus.At(x), 1e-13);
}
