namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>One file with its size and SHA-256 in lower-case hexadecimal.</summary>
internal sealed record BundleFile(string Name, long Bytes, string Sha256)
{
    /// <summary>Far more than any model's weights take, and little enough for the sum over a saved model's files to stay a number of 64 bits.</summary>
    public const long MostBytes = 1L << 48;
}
