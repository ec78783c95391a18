namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>What quantising did to a matrix.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">What its numbers are.</param>
/// <param name="SquaredError">The squares of what its weights are stored too large or too small by, summed.</param>
/// <param name="SquaredNorm">The squares of its weights, summed.</param>
internal sealed record QuantizedTensor(string Name, WeightPrecision Type, double SquaredError, double SquaredNorm)
{
    /// <summary>The root mean square error over the root mean square of the weights.</summary>
    public double RelativeError => SquaredNorm > 0 ? Math.Sqrt(SquaredError / SquaredNorm) : 0;
}
