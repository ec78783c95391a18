using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>Top-1 minus top-2 of <c>softmax(z)</c>, clamped to [0, 1] (section 4.1 of the paper).</summary>
internal sealed class SoftmaxMargin : Confidence
{
    internal override string Name => "softmaxMargin";

    internal override bool UsesLogits => true;

    internal override float Evaluate(ReadOnlySpan<float> logits)
    {
        throw new NotImplementedException();
    }
}
