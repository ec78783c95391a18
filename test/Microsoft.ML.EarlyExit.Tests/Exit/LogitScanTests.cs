using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LogitScanTests
{
    [Property(MaxTest = 300)]
    public Property A_scan_finds_what_a_loop_does() => Prop.ForAll(Values().ToArbitrary(), one =>
    {
        (float[] values, float border) = one;
        int[] expected = [.. Enumerable.Range(0, values.Length).Where(index => values[index] >= border)];
        Assert.Equal(expected.Length, LogitScan.CountAtLeast(values, border));
        int[] places = new int[expected.Length];
        Assert.Equal(expected.Length, LogitScan.FindAtLeast(values, border, places));
        Assert.Equal(expected, places);
    });

    [Property(MaxTest = 300)]
    public Property The_two_largest_besides_some_are_those_of_a_sort(int seed) => Prop.ForAll(Values().ToArbitrary(), one =>
    {
        float[] values = one.Values;
        var random = new Random(seed);
        double share = random.NextDouble() * random.NextDouble();
        int[] without = [.. Enumerable.Range(0, values.Length).Where(_ => random.NextDouble() < share)];
        float[] rest = [.. values.Where((_, index) => !without.Contains(index)).OrderDescending(), float.NegativeInfinity, float.NegativeInfinity];
        (float largest, float second) = LogitScan.TwoLargest(values, without);
        Assert.Equal((rest[0], rest[1]), (largest, second));
    });

    private static Gen<(float[] Values, float Border)> Values() =>
        from length in Gen.Choose(0, 300)
        from values in Gen.ArrayOf(Gen.OneOf(Gen.Choose(-5, 5).Select(value => (float)value), Gen.Choose(-5000, 5000).Select(value => value / 1000f)), length)
        from border in Gen.OneOf(Gen.Choose(-5, 5).Select(value => (float)value), Gen.Elements(float.NegativeInfinity, float.PositiveInfinity, -4.2f, -0f))
        select (values, border);
}
