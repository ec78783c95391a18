using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A finished cell, as its file holds it.</summary>
internal sealed record CellRecord
{
    /// <summary>SHA-256 of the settings it was computed with.</summary>
    public required string Fingerprint { get; init; }

    public required string Model { get; init; }

    public required string Name { get; init; }

    public required string Title { get; init; }

    /// <summary>The policy as a policy file has it; null for full depth.</summary>
    public required JsonElement? Policy { get; init; }

    /// <summary>What the cell took altogether.</summary>
    public required double Seconds { get; init; }

    /// <summary>What was generated; null for the cell about layers.</summary>
    public required GenerationSummary? Generation { get; init; }

    /// <summary>What the layers say, 1 to L; null for the cells that generate.</summary>
    public required IReadOnlyList<LayerSummary>? Layers { get; init; }

    /// <summary>The rows of the sample, in their order.</summary>
    public required IReadOnlyList<CellRow> Rows { get; init; }
}
