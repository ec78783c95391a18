namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>What one decoder layer would have said at every position of a given target.</summary>
internal sealed class LayerScore
{
    /// <summary>Blocks that ran, 1 to L.</summary>
    public required int Layer { get; init; }

    /// <summary>The likeliest id at each position, over the full vocabulary.</summary>
    public required IReadOnlyList<int> ArgMax { get; init; }

    /// <summary>The rank, from 0, that the last layer's likeliest id has here.</summary>
    public required IReadOnlyList<int> Rank { get; init; }

    /// <summary>The measure's confidence, in [0, 1].</summary>
    public required IReadOnlyList<float> Confidence { get; init; }

    /// <summary>The natural logarithm of the target id's probability.</summary>
    public required IReadOnlyList<float> LogProbability { get; init; }
}
