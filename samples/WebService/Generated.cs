namespace WebService;

/// <summary>A row as the pipeline returns it.</summary>
internal sealed class Generated
{
    public string Text { get; set; } = "";

    public int[] ExitLayers { get; set; } = [];

    public string StopReason { get; set; } = "";
}
