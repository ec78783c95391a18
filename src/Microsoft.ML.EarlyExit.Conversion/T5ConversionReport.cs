namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>What there is to say about a conversion that succeeded. Immutable.</summary>
public sealed class T5ConversionReport
{
    internal T5ConversionReport(IReadOnlyList<string> warnings) => Warnings = warnings;

    /// <summary>
    /// A sentence for each thing that makes the bundle behave otherwise than one may expect: what the checkpoint asks for and the library cannot do, where its
    /// files disagree, that there is no tokenizer. Empty where there is none.
    /// </summary>
    public IReadOnlyList<string> Warnings { get; }
}
