namespace Microsoft.ML.EarlyExit;

/// <summary>How the matrices of a model are stored. Norms and position biases, which are small, are in single precision with all of them.</summary>
public enum WeightPrecision
{
    /// <summary>IEEE single precision, 4 bytes a weight; <c>fp32</c> in files and options.</summary>
    Float32,

    /// <summary>The upper half of an IEEE single, 2 bytes a weight, rounded to the nearest; <c>bf16</c> in files and options.</summary>
    BFloat16,
}
