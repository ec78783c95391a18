namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>The graph files of a bundle; <see cref="GraphContract"/> says what they take and give.</summary>
internal sealed record BundleGraphs(
    string Encoder,
    IReadOnlyList<string> DecoderBlocks,
    IReadOnlyList<string> StateKeysValues,
    IReadOnlyList<string> CrossKeysValues,
    string TeacherForcedDecoder);
