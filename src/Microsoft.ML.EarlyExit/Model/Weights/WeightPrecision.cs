namespace Microsoft.ML.EarlyExit;

/// <summary>
/// How the matrices of a model are stored. Norms and position biases, which are small, are in single precision with all of them; embedding and LM head with all
/// but <see cref="BFloat16"/>.
/// </summary>
public enum WeightPrecision
{
    /// <summary>IEEE single precision, 4 bytes a weight; <c>fp32</c> in files and options.</summary>
    Float32,

    /// <summary>The upper half of an IEEE single, 2 bytes a weight, rounded to the nearest; <c>bf16</c> in files and options.</summary>
    BFloat16,

    /// <summary>
    /// Whole numbers of 8 bits, each times the scale of its block of a matrix; <c>int8</c> in files and options. Embedding and LM head are in single
    /// precision.
    /// </summary>
    Int8,

    /// <summary>
    /// Whole numbers of 4 bits, each times the scale of its block; <c>int4</c> in files and options. A model of this precision has them in the feed-forward
    /// layers of its decoder, and is stored as with <see cref="Int8"/> otherwise.
    /// </summary>
    Int4,
}
