namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>How a checkpoint is converted. Immutable.</summary>
public sealed record T5ConversionOptions
{
    /// <summary>Begins an item of <see cref="Keep"/>: the precision that matrices are kept in.</summary>
    internal const string KeepPrefix = "fp32:";

    private readonly WeightPrecision _weights;
    private readonly IReadOnlyList<string> _keep = [];

    /// <summary>
    /// How the bundle stores the matrices, which are nearly all of it. With <see cref="WeightPrecision.BFloat16"/> the bundle has half the size, and the model
    /// is the one whose weights are rounded so; a checkpoint that stores them so loses nothing. With <see cref="WeightPrecision.Int8"/> and
    /// <see cref="WeightPrecision.Int4"/> the matrices of the layers are whole numbers with scales, and
    /// <see cref="T5ConversionReport.QuantizationErrors"/> says how near.
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

    /// <summary>
    /// Matrices that <see cref="WeightPrecision.Int8"/> and <see cref="WeightPrecision.Int4"/> are to leave in single precision, as <c>fp32:PATTERN</c>: the
    /// pattern is matched with names such as <c>decoder.3.ff.wo</c> or <c>encoder.0.self.kv</c>, layers counted from 0; <c>*</c> stands for any characters
    /// and <c>?</c> for one. A conversion to another precision, or one in which a pattern names no matrix, is refused.
    /// </summary>
    /// <value>The default value is empty.</value>
    /// <exception cref="ArgumentException">An item is not <c>fp32:</c> and a pattern.</exception>
    /// <exception cref="ArgumentNullException">The list is null.</exception>
    public IReadOnlyList<string> Keep
    {
        get => _keep;
        init
        {
            ArgumentNullException.ThrowIfNull(value, nameof(Keep));
            string[] items = [.. value];
            foreach (string item in items)
            {
                if (item is null || !item.StartsWith(KeepPrefix, StringComparison.Ordinal) || item.Length == KeepPrefix.Length)
                {
                    throw new ArgumentException(
                        $"'{item}' does not say what to keep: it must be {KeepPrefix} and a pattern for names of matrices, such as {KeepPrefix}decoder.3.ff.wo "
                        + $"or {KeepPrefix}encoder.*.",
                        nameof(Keep));
                }
            }

            _keep = Array.AsReadOnly(items);
        }
    }

    /// <summary>Whether an existing bundle at the target is replaced; otherwise converting to it fails.</summary>
    /// <value>The default value is false.</value>
    public bool Overwrite { get; init; }

    /// <summary>Is told the share of the weights that has been written, from 0 to 1.</summary>
    /// <value>The default value is null: nobody is told.</value>
    public IProgress<double>? Progress { get; init; }
}
