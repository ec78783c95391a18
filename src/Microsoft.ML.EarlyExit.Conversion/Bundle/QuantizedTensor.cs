namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>What quantising did to a matrix.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">What its numbers are.</param>
/// <param name="SquaredError">The squares of what its weights are stored too large or too small by, summed.</param>
/// <param name="SquaredNorm">The squares of its weights, summed.</param>
/// <param name="Count">How many they are.</param>
/// <param name="TypicalMagnitude">The square of the mean of the square roots of the weights' magnitudes, which outliers hardly move.</param>
internal sealed record QuantizedTensor(
    string Name, WeightPrecision Type, double SquaredError, double SquaredNorm, long Count, double TypicalMagnitude)
{
    /// <summary>The root mean square error over the root mean square of the weights.</summary>
    public double RelativeError => SquaredNorm > 0 ? Math.Sqrt(SquaredError / SquaredNorm) : 0;

    /// <summary>The root mean square error over the typical magnitude: outliers, which are well off themselves, make that of all others large.</summary>
    public double TypicalError => TypicalMagnitude > 0 ? Math.Sqrt(SquaredError / Count) / TypicalMagnitude : 0;
}
