namespace Microsoft.ML.EarlyExit;

/// <summary>Where tokens left the decoder.</summary>
public sealed class ExitStatistics
{
    /// <summary>Tokens of all rows, <c>&lt;/s&gt;</c> included.</summary>
    public required long TokenCount { get; init; }

    /// <summary>The mean exit layer of all tokens; NaN without tokens.</summary>
    public required double MeanExitLayer { get; init; }

    /// <summary>Tokens that left after each number of layers; index 0 is always 0, the last index is the deepest exit.</summary>
    public required IReadOnlyList<long> Histogram { get; init; }

    /// <summary>The mean exit layer of all rows' tokens at each position, from 0.</summary>
    public required IReadOnlyList<double> MeanExitLayerByPosition { get; init; }

    /// <summary>Rows that have a token at each position, from 0.</summary>
    public required IReadOnlyList<long> TokenCountByPosition { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
