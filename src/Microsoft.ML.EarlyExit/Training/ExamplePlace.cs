namespace Microsoft.ML.EarlyExit.Training;

/// <summary>The columns of an example that say whether a probe is trained on it.</summary>
internal sealed class ExamplePlace
{
    public int Layer { get; set; }

    public bool IsHeldOut { get; set; }
}
