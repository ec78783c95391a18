namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>What a thread keeps of a metric's buffers for the next call.</summary>
internal static class MetricBuffers
{
    /// <summary>Buffers of more elements, blown up by a huge text, are let go.</summary>
    public const int LargestKept = 1 << 18;
}
