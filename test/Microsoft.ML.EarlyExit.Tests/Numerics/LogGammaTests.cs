using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LogGammaTests
{
    // From Python's math.lgamma.
    [Theory]
    [InlineData(1e-4, 9.210282658633963)]
    [InlineData(0.1, 2.2527126517342055)]
    [InlineData(0.5, 0.5723649429247004)]
    [InlineData(1, 0.0)]
    [InlineData(1.5, -0.12078223763524543)]
    [InlineData(2, 0.0)]
    [InlineData(3.7, 1.4280723266653883)]
    [InlineData(10, 12.801827480081467)]
    [InlineData(100.25, 360.2845596377643)]
    [InlineData(1e5, 1051287.7089736566)]
    public void Values_are_the_known_ones(double x, double expected) => Assert.Equal(expected, LogGamma.At(x), 1e-13 * Math.Max(1, Math.Abs(expected)));

    [Fact]
    public void Of_integers_it_is_the_logarithm_of_a_factorial()
    {
        double sum = 0;
        for (int n = 1; n <= 2000; n++)
        {
            Assert.Equal(sum, LogGamma.At(n), 1e-12 * Math.Max(1, sum));
            sum += Math.Log(n);
        }
    }

    [Property]
    public Property It_keeps_the_duplication_formula() =>
        Prop.ForAll(Gen.Choose(1, 1_000_000).ToArbitrary(), thousandths =>
        {
            // DLMF 5.5.5.
            double x = thousandths / 1000.0;
            double expected = LogGamma.At(x) + LogGamma.At(x + 0.5) + (((2 * x) - 1) * Math.Log(2)) - (0.5 * Math.Log(Math.PI));
            Assert.Equal(expected, LogGamma.At(2 * x), 1e-12 * Math.Max(1, Math.Abs(expected)));
        });
}
