namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>The scores of one row.</summary>
/// <param name="TargetIds">The target, without the start token.</param>
/// <param name="Layers">The scores of each layer, 1 to L.</param>
/// <param name="CutInputTokens">How many encoder ids were cut off the input's end.</param>
/// <param name="Error">Why the row could not be scored; null where it was.</param>
internal sealed record ScoredTarget(IReadOnlyList<int> TargetIds, IReadOnlyList<LayerScore> Layers, int CutInputTokens, string? Error)
{
    /// <summary>The scores of a row whose input or target is missing: none.</summary>
    public static ScoredTarget Skipped { get; } = new([], [], 0, null);

    public static ScoredTarget Failed(string error) => new([], [], 0, error);
}
