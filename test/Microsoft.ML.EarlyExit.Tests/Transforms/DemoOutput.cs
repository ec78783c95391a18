namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A row of the demo's output.</summary>
internal sealed class DemoOutput
{
    public string Text { get; set; } = "";

    public int[] Layers { get; set; } = [];

    public int Number { get; set; }

    public float[] Numbers { get; set; } = [];

    public string Name { get; set; } = "";
}
