namespace Microsoft.ML.EarlyExit;

/// <summary>How the head set's α' depends on the layer.</summary>
public enum AlphaSchedule
{
    /// <summary><c>α' = α</c>.</summary>
    Constant,

    /// <summary><c>α' = α / (1 + decayRate · l) · (1 - c)</c>, c being the softmax margin at layer l.</summary>
    Hyperbolic,
}
