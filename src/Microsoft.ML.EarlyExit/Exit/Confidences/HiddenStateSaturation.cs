using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>Cosine similarity of <c>h^l</c> and <c>h^(l-1)</c>, clamped to [0, 1] (CALM, section 3.5).</summary>
internal sealed class HiddenStateSaturation : Confidence
{
    internal static ConfidenceKind Kind { get; } = new("hiddenStateSaturation", null, (_, _) => Confidence.HiddenStateSaturation);

    internal override string Name => Kind.Name;

    internal override bool UsesLogits => false;

    internal override bool NeedsHiddenState(int layer, ExitPlan plan) => plan.Evaluates(layer + 1);

    internal override float Evaluate(TokenState token)
    {
        float similarity = TensorPrimitives.CosineSimilarity(token.Hidden, token.HiddenAfter(token.Layer - 1));
        return Math.Clamp(similarity, 0f, 1f);
    }
}
