namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A number of a sample with its 95 % bootstrap interval.</summary>
internal sealed record Estimate(double Value, double Low, double High);
