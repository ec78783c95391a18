using Microsoft.ML.EarlyExit.Evaluation.Numerics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class SortedNumbersTests
{
    [Theory]
    [InlineData(0, 1)]
    [InlineData(0.5, 3)]
    [InlineData(0.25, 2)]
    [InlineData(0.375, 2.5)]
    [InlineData(1, 5)]
    public void Quantiles_lie_between_neighbours(double share, double expected) => Assert.Equal(expected, SortedNumbers.Quantile([1, 2, 3, 4, 5], share), 12);
}
