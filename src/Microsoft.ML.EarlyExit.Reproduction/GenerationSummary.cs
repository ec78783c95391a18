namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>What a cell that generates comes to.</summary>
internal sealed record GenerationSummary
{
    /// <summary>Rows of the sample, those that failed included.</summary>
    public required int Samples { get; init; }

    /// <summary>Rows that failed.</summary>
    public required int Errors { get; init; }

    /// <summary>Inputs that were cut because they are too long.</summary>
    public required int CutInputs { get; init; }

    /// <summary>Tokens generated in all rows.</summary>
    public required long Tokens { get; init; }

    /// <summary>The metrics; the first is the task's own.</summary>
    public required IReadOnlyList<MetricSummary> Quality { get; init; }

    /// <summary>The share of rows, in percent, whose ids are full depth's.</summary>
    public required Estimate Agreement { get; init; }

    /// <summary>The mean exit layer over all tokens; null where there are none.</summary>
    public required double? MeanExitLayer { get; init; }

    /// <summary>How many tokens exited after each layer, 1 to L.</summary>
    public required IReadOnlyList<long> ExitLayers { get; init; }

    /// <summary>Floating-point operations per row of the sample.</summary>
    public required OperationSummary OperationsPerSample { get; init; }

    /// <summary>The time a token takes; null where no row could be measured.</summary>
    public required LatencySummary? Latency { get; init; }

    /// <summary>The task's own metric.</summary>
    internal MetricSummary Primary => Quality[0];
}
