namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>How a checkpoint is converted. Immutable.</summary>
public sealed record T5ConversionOptions
{
    /// <summary>Whether an existing bundle at the target is replaced; otherwise converting to it fails.</summary>
    /// <value>The default value is false.</value>
    public bool Overwrite { get; init; }

    /// <summary>Is told the share of the weights that has been written, from 0 to 1.</summary>
    /// <value>The default value is null: nobody is told.</value>
    public IProgress<double>? Progress { get; init; }
}
