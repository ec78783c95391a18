namespace Microsoft.ML.EarlyExit;

/// <summary>What a confidence of your own is computed from; see <see cref="Confidence.Custom"/>.</summary>
public enum ConfidenceNeeds
{
    /// <summary>The layer's logits: the LM head is multiplied before every evaluation. It can be combined with pruning.</summary>
    Logits,

    /// <summary>The layer's hidden state only: the LM head is multiplied at the exit. It cannot be combined with pruning.</summary>
    HiddenState,
}
