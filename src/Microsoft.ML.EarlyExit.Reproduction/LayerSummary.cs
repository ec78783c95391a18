namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>What one layer says about the tokens of full depth's own outputs.</summary>
internal sealed record LayerSummary
{
    public required int Layer { get; init; }

    /// <summary>Tokens of all rows.</summary>
    public required long Tokens { get; init; }

    /// <summary>The mean softmax margin.</summary>
    public required double MeanConfidence { get; init; }

    /// <summary>The share of tokens, 0 to 1, whose final choice is this layer's too.</summary>
    public required double ShareOfRankZero { get; init; }

    /// <summary>Ranks, from 0, of the final choice: lowest, 5th, 25th, 50th, 75th and 95th hundredth, highest.</summary>
    public required IReadOnlyList<double> RankQuantiles { get; init; }
}
