namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>One file with its size and SHA-256 in lower-case hexadecimal.</summary>
internal sealed record BundleFile(string Name, long Bytes, string Sha256);
