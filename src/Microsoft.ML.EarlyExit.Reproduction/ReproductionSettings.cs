using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Everything that a run's numbers depend on.</summary>
internal sealed record ReproductionSettings
{
    /// <summary>The library's version.</summary>
    public required string Version { get; init; }

    public required Machine Machine { get; init; }

    public required SampleSettings Data { get; init; }

    /// <summary>The generation options, as an options file has them.</summary>
    public required JsonElement Options { get; init; }

    public required float Threshold { get; init; }

    /// <summary>The minimum layers that were asked for; null for the paper's, scaled.</summary>
    public required IReadOnlyList<int>? MinimumLayers { get; init; }

    public required int Batch { get; init; }

    public required int LatencyRows { get; init; }

    public required int BootstrapReplicates { get; init; }

    public required IReadOnlyList<ModelSettings> Models { get; init; }
}
