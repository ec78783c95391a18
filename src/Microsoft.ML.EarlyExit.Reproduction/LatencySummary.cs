namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The time a token takes at batch 1, measured row by row beside the same row at full depth.</summary>
internal sealed record LatencySummary
{
    /// <summary>Rows that were measured.</summary>
    public required int Rows { get; init; }

    /// <summary>Tokens that the policy generated for them.</summary>
    public required long Tokens { get; init; }

    /// <summary>Tokens that full depth generated for them.</summary>
    public required long FullDepthTokens { get; init; }

    /// <summary>Milliseconds a token with the policy, without the encoder.</summary>
    public required double MillisecondsPerToken { get; init; }

    /// <summary>Milliseconds a token at full depth, without the encoder.</summary>
    public required double FullDepthMillisecondsPerToken { get; init; }

    /// <summary>The policy's time per token divided by full depth's, without the encoder.</summary>
    public required Estimate Ratio { get; init; }

    /// <summary>Milliseconds a token with the policy, the encoder included.</summary>
    public required double MillisecondsPerTokenWithEncoder { get; init; }

    /// <summary>Milliseconds a token at full depth, the encoder included.</summary>
    public required double FullDepthMillisecondsPerTokenWithEncoder { get; init; }

    /// <summary>The policy's time per token divided by full depth's, the encoder included.</summary>
    public required Estimate RatioWithEncoder { get; init; }
}
