namespace Microsoft.ML.EarlyExit.Evaluation.Outcomes;

/// <summary>The largest numbers that a generation can have given.</summary>
internal static class GenerationLimits
{
    /// <summary>Decoder layers.</summary>
    public const int LayerCount = 1 << 10;
}
