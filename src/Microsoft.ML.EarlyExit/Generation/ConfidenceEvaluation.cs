namespace Microsoft.ML.EarlyExit;

/// <summary>One confidence that was computed on the way to a token.</summary>
/// <param name="Layer">After how many decoder blocks, 1 to L - 1.</param>
/// <param name="Confidence">Its value, in [0, 1].</param>
/// <param name="Rows">Size of the alive vocabulary whose logits it used; 0 for a measure without logits.</param>
/// <param name="AmateurLayer">The layer a contrastive measure compared with; null for every other measure.</param>
public readonly record struct ConfidenceEvaluation(int Layer, float Confidence, int Rows, int? AmateurLayer)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
