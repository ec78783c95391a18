namespace Microsoft.ML.EarlyExit;

/// <summary>Which metrics compare predictions with references.</summary>
[Flags]
public enum EvaluationMetrics
{
    /// <summary>None: references are not needed.</summary>
    None = 0,

    /// <summary>ROUGE-1, -2, -L and -Lsum.</summary>
    Rouge = 1,

    /// <summary>SQuAD's exact match and F1.</summary>
    Squad = 2,

    /// <summary>BLEU of the whole data.</summary>
    Bleu = 4,

    /// <summary>chrF of the whole data.</summary>
    Chrf = 8,

    /// <summary>All of them.</summary>
    All = Rouge | Squad | Bleu | Chrf,
}
