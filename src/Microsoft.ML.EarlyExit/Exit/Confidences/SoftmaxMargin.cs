namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>Top-1 minus top-2 of <c>softmax(z)</c>, clamped to [0, 1] (section 4.1 of the paper).</summary>
internal sealed class SoftmaxMargin : Confidence
{
    internal static ConfidenceKind Kind { get; } = new("softmaxMargin", null, (_, _) => Confidence.SoftmaxMargin);

    internal override string Name => Kind.Name;

    internal override bool UsesLogits => true;

    internal override float Evaluate(TokenState token) => Of(token.Logits);

    /// <summary>The margin of logits; NaN where they hold a NaN or an infinity.</summary>
    internal static float Of(LayerLogits logits)
    {
        ReadOnlySpan<float> values = logits.Values;
        if (values.Length < 2 || !float.IsFinite(logits.Max))
            return float.NaN;

        // softmax(z) = exp(z - lse): the margin needs the two largest logits only.
        float second = LogitScan.TwoLargest(values, without: []).Second;
        double margin = (1 - Math.Exp((double)second - logits.Max)) * Math.Exp(logits.Max - logits.LogSumExp);
        return Math.Clamp((float)margin, 0f, 1f);
    }
}
