namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>Top-1 minus top-2 of <c>softmax(z)</c>, clamped to [0, 1] (section 4.1 of the paper).</summary>
internal sealed class SoftmaxMargin : Confidence
{
    internal static ConfidenceKind Kind { get; } = new("softmaxMargin", null, (_, _) => Confidence.SoftmaxMargin);

    internal override string Name => Kind.Name;

    internal override bool UsesLogits => true;

    internal override bool UsesAllLogits => false;

    internal override float Evaluate(TokenState token) => Of(token.Logits);

    /// <summary>The margin of logits; NaN where they hold a NaN or an infinity.</summary>
    internal static float Of(LayerLogits logits)
    {
        ReadOnlySpan<float> values = logits.Values;
        if (values.Length < 2 || !float.IsFinite(logits.Max))
            return float.NaN;

        return Math.Clamp((float)Margin(logits), 0f, 1f);
    }

    /// <summary>What the margin is at most, where the sum of exponentials is not sure.</summary>
    internal static double AtMost(LayerLogits logits) => Margin(logits) / Math.Max(1 - logits.SumError, double.Epsilon) * (1 + 1e-5);

    /// <summary>The margin as the logits have it, not clamped.</summary>
    internal static double Margin(LayerLogits logits)
    {
        // softmax(z) = exp(z - lse): the margin needs the two largest logits only.
        float second = LogitScan.TwoLargest(logits.Values, without: []).Second;
        return (1 - Math.Exp((double)second - logits.Max)) * Math.Exp(logits.Max - logits.LogSumExp);
    }
}
