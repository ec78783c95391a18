namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>What there is to say about a conversion that succeeded. Immutable.</summary>
public sealed class T5ConversionReport
{
    internal T5ConversionReport(
        IReadOnlyList<string> warnings, IReadOnlyList<string> filesRead, IReadOnlyList<string> filesIgnored, int formatVersion, long bundleBytes,
        IReadOnlyList<QuantizationError> quantizationErrors)
    {
        Warnings = warnings;
        FilesRead = filesRead;
        FilesIgnored = filesIgnored;
        FormatVersion = formatVersion;
        BundleBytes = bundleBytes;
        QuantizationErrors = quantizationErrors;
    }

    /// <summary>
    /// A sentence for each thing that makes the bundle behave otherwise than one may expect: what the checkpoint asks for and the library cannot do, where its
    /// files disagree, that there is no tokenizer, which matrix whole numbers fit far worse than others of its kind. Empty where there is none.
    /// </summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>The names of the source folder's files that were read, in the order of the alphabet.</summary>
    public IReadOnlyList<string> FilesRead { get; }

    /// <summary>The names of the source folder's other files and folders, in the order of the alphabet.</summary>
    public IReadOnlyList<string> FilesIgnored { get; }

    /// <summary>The version of the bundle's format: the first that can say all that this bundle says.</summary>
    public int FormatVersion { get; }

    /// <summary>The size of the bundle's files in bytes, without <c>model.json</c>.</summary>
    public long BundleBytes { get; }

    /// <summary>How far the matrices that are stored as whole numbers are from the checkpoint's, by kind; empty where none is.</summary>
    public IReadOnlyList<QuantizationError> QuantizationErrors { get; }
}
