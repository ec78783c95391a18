namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>
/// How far the matrices of one kind, as they are stored in <see cref="WeightPrecision.Int8"/> or <see cref="WeightPrecision.Int4"/>, are from the checkpoint's:
/// the root mean square of the difference, over the root mean square of the weights. Immutable.
/// </summary>
public sealed class QuantizationError
{
    internal QuantizationError(string kind, WeightPrecision weights, int count, double relativeError, string worstMatrix, double worstRelativeError)
    {
        Kind = kind;
        Weights = weights;
        Count = count;
        RelativeError = relativeError;
        WorstMatrix = worstMatrix;
        WorstRelativeError = worstRelativeError;
    }

    /// <summary>The matrices' name without their layer: <c>decoder.cross.kv</c>, <c>encoder.ff.wi</c> (of which there are two where the feed-forward layer
    /// is gated) and so on.</summary>
    public string Kind { get; }

    /// <summary>How they are stored.</summary>
    public WeightPrecision Weights { get; }

    /// <summary>How many there are.</summary>
    public int Count { get; }

    /// <summary>The error of all of them, 0 or more; 0.01 is one percent.</summary>
    public double RelativeError { get; }

    /// <summary>The name of the matrix with the largest error.</summary>
    public string WorstMatrix { get; }

    /// <summary>Its error.</summary>
    public double WorstRelativeError { get; }
}
