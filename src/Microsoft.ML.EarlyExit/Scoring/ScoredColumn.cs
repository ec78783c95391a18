using Microsoft.ML.EarlyExit.DataViews;

namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>The columns that a layer scoring can add: vectors, layer after layer, and in each layer position after position.</summary>
internal static class ScoredColumn
{
    internal static OutputColumn<ScoredTarget> ArgMax { get; } = OutputColumn<ScoredTarget>.Vector("argMaxColumnName", Flatten(score => score.ArgMax));

    internal static OutputColumn<ScoredTarget> Ranks { get; } = OutputColumn<ScoredTarget>.Vector("ranksColumnName", Flatten(score => score.Rank));

    internal static OutputColumn<ScoredTarget> Confidences { get; } =
        OutputColumn<ScoredTarget>.Vector("confidencesColumnName", Flatten(score => score.Confidence));

    internal static OutputColumn<ScoredTarget> LogProbabilities { get; } =
        OutputColumn<ScoredTarget>.Vector("logProbabilitiesColumnName", Flatten(score => score.LogProbability));

    internal static OutputColumn<ScoredTarget> TargetIds { get; } = OutputColumn<ScoredTarget>.Vector("targetIdsColumnName", scored => scored.TargetIds);

    /// <summary>Every column, in the order in which they are added to a schema.</summary>
    internal static IReadOnlyList<OutputColumn<ScoredTarget>> All { get; } = [ArgMax, Ranks, Confidences, LogProbabilities, TargetIds];

    private static Func<ScoredTarget, IReadOnlyList<T>> Flatten<T>(Func<LayerScore, IReadOnlyList<T>> read) =>
        scored => [.. scored.Layers.SelectMany(read)];
}
