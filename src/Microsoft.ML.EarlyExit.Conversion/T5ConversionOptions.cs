namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>How a checkpoint is converted. Immutable.</summary>
public sealed record T5ConversionOptions
{
    private readonly WeightPrecision _weights;

    /// <summary>
    /// How the bundle stores the matrices, which are nearly all of it. With <see cref="WeightPrecision.BFloat16"/> the bundle has half the size, and the model
    /// is the one whose weights are rounded so; a checkpoint that stores them so loses nothing.
    /// </summary>
    /// <value>The default value is <see cref="WeightPrecision.Float32"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is none of the enumeration's.</exception>
    public WeightPrecision Weights
    {
        get => _weights;
        init => _weights = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Weights), value, $"Weights must be one of {string.Join(", ", Enum.GetNames<WeightPrecision>())}.");
    }

    /// <summary>Whether an existing bundle at the target is replaced; otherwise converting to it fails.</summary>
    /// <value>The default value is false.</value>
    public bool Overwrite { get; init; }

    /// <summary>Is told the share of the weights that has been written, from 0 to 1.</summary>
    /// <value>The default value is null: nobody is told.</value>
    public IProgress<double>? Progress { get; init; }
}
