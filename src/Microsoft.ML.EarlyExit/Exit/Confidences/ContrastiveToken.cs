namespace Microsoft.ML.EarlyExit;

/// <summary>The token that is chosen where a token exits by a contrastive confidence.</summary>
public enum ContrastiveToken
{
    /// <summary>The expert's likeliest token, as in the paper.</summary>
    Expert,

    /// <summary>The token of the largest contrastive score, the paper's future work. Generation options that change logits change the logarithm of the
    /// score.</summary>
    Contrastive,
}
