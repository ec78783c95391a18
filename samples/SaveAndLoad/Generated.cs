namespace SaveAndLoad;

/// <summary>A row as the pipeline returns it.</summary>
internal sealed class Generated
{
    public string Text { get; set; } = "";
}
