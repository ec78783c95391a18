namespace ComposePipeline;

/// <summary>A place as a web page lists it, and the food it serves where that is known.</summary>
internal sealed class Listing
{
    public string Html { get; set; } = "";

    public string Food { get; set; } = "";
}
