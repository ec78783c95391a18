namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>A row of the saved pipelines.</summary>
internal sealed class PipelineRow
{
    public static IReadOnlyList<PipelineRow> Sound { get; } =
    [
        new() { Text = "name[The Waterman]", Target = "a pub" },
        new() { Text = "area[riverside]", Target = "by the river" },
        new() { Text = "", Target = "" },
    ];

    public string Text { get; set; } = "";

    public string Target { get; set; } = "";
}
