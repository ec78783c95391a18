namespace ComposePipeline;

/// <summary>What is left of a listing without its markup.</summary>
internal sealed class CleanListing
{
    public string Slots { get; set; } = "";
}
