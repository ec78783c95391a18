namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The data and the sample drawn from it.</summary>
/// <param name="File">The file's name, without its folder.</param>
/// <param name="Sha256">The file's SHA-256.</param>
/// <param name="Format">How it was read.</param>
/// <param name="Task"><c>answers</c> or <c>references</c>.</param>
/// <param name="Examples">Examples in the file.</param>
/// <param name="Samples">Examples of the sample.</param>
/// <param name="Seed">What the sample was drawn with, and what resampling is seeded with.</param>
internal sealed record SampleSettings(string File, string Sha256, string Format, string Task, int Examples, int Samples, int Seed);
