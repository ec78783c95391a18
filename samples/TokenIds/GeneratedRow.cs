namespace TokenIds;

/// <summary>A row as the pipeline returns it: one entry per generated token.</summary>
internal sealed class GeneratedRow
{
    public int[] GeneratedIds { get; set; } = [];

    public int[] ExitLayers { get; set; } = [];

    public float[] Confidences { get; set; } = [];

    public string StopReason { get; set; } = "";
}
