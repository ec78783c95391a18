namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A row as a layer scoring returns it.</summary>
internal sealed class ScoredRow
{
    public int[] ArgMax { get; set; } = [];

    public int[] Ranks { get; set; } = [];

    public float[] Confidences { get; set; } = [];

    public float[] LogProbabilities { get; set; } = [];

    public int[] Ids { get; set; } = [];
}
