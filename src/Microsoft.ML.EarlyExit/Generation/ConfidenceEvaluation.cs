using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>One confidence that was computed on the way to a token.</summary>
public readonly record struct ConfidenceEvaluation
{
    [JsonConstructor]
    internal ConfidenceEvaluation(int layer, float confidence, int rows, int? amateurLayer)
    {
        Layer = layer;
        Confidence = confidence;
        Rows = rows;
        AmateurLayer = amateurLayer;
    }

    /// <summary>After how many decoder blocks, 1 to L - 1.</summary>
    public int Layer { get; }

    /// <summary>Its value, in [0, 1].</summary>
    public float Confidence { get; }

    /// <summary>Size of the alive vocabulary whose logits it used; 0 for a measure without logits.</summary>
    public int Rows { get; }

    /// <summary>The layer a contrastive measure compared with; null for every other measure.</summary>
    public int? AmateurLayer { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
