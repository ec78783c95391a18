using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>Top-1 minus top-2 of <c>softmax(z)</c>, clamped to [0, 1] (section 4.1 of the paper).</summary>
internal sealed class SoftmaxMargin : Confidence
{
    private const int Chunk = 512;

    internal override string Name => "softmaxMargin";

    internal override bool UsesLogits => true;

    internal override float Evaluate(ReadOnlySpan<float> logits)
    {
        if (logits.Length < 2)
            return float.NaN;
        float first = TensorPrimitives.Max(logits);
        if (!float.IsFinite(first))
            return float.NaN;

        // softmax(z) = exp(z - first) / sum: the margin needs the sum and the second largest logit only.
        int at = TensorPrimitives.IndexOfMax(logits);
        float second = float.NegativeInfinity;
        if (at > 0)
            second = TensorPrimitives.Max(logits[..at]);
        if (at < logits.Length - 1)
            second = Math.Max(second, TensorPrimitives.Max(logits[(at + 1)..]));

        Span<float> buffer = stackalloc float[Chunk];
        double sum = 0;
        for (int start = 0; start < logits.Length; start += Chunk)
        {
            ReadOnlySpan<float> part = logits.Slice(start, Math.Min(Chunk, logits.Length - start));
            Span<float> exponentials = buffer[..part.Length];
            TensorPrimitives.Subtract(part, first, exponentials);
            TensorPrimitives.Exp(exponentials, exponentials);
            sum += TensorPrimitives.Sum<float>(exponentials);
        }

        float margin = (float)((1 - Math.Exp((double)second - first)) / sum);
        return Math.Clamp(margin, 0f, 1f);
    }
}
