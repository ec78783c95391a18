namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>One row of the sample in a cell.</summary>
internal sealed record CellRow
{
    public required string Id { get; init; }

    /// <summary>The text that was generated; null in the cell about layers.</summary>
    public required string? Text { get; init; }

    /// <summary>The ids that were generated; only full depth has them, for the other cells to be compared with.</summary>
    public required IReadOnlyList<int>? TokenIds { get; init; }

    /// <summary>How many tokens were generated, or looked at.</summary>
    public required int Tokens { get; init; }

    /// <summary>The mean of the tokens' exit layers; null where there is none.</summary>
    public required double? MeanExitLayer { get; init; }

    /// <summary>The quality by each metric, 0 to 100, in the order of the summary's; 0 for a row that failed; empty in the cell about layers.</summary>
    public required IReadOnlyList<double> Scores { get; init; }

    /// <summary>Whether the ids are those of full depth.</summary>
    public required bool IsFullDepths { get; init; }

    /// <summary>Why the row failed; else null.</summary>
    public required string? Error { get; init; }
}
