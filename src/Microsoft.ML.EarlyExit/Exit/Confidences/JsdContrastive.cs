namespace Microsoft.ML.EarlyExit;

/// <summary>
/// DoLa-like (Chuang et al., 2024; section 4.3 of the paper): the amateur of layer l is the candidate m of the largest <c>JSD(p^l, p^m) / (l - m)</c>, with
/// <c>JSD = 1/2 Σ p (ln p - ln r) + 1/2 Σ q (ln q - ln r)</c>, <c>r = (p + q) / 2</c>, over the head set. Without candidates the softmax margin takes its place.
/// </summary>
internal sealed class JsdContrastive(ContrastiveOptions options) : ContrastiveConfidence(options)
{
    private const int FirstOfAll = 2;

    internal override string Name => "jsdContrastive";

    private protected override bool HasNothingOutsideTheHead => false;

    private protected override HeadWeight DefaultHeadWeight => HeadWeight.One;

    internal override void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        base.Validate(policy, configuration);
        if (policy.ReferenceCompatible && policy.FirstAskedLayer <= FirstOfAll)
            throw new ArgumentException("With ReferenceCompatible, JsdContrastive needs a MinimumLayer of at least 3: the published code fails below, where there is no amateur.");
    }

    internal override bool NeedsHiddenState(int layer, ExitPlan plan) => layer >= FirstCandidate(plan) && layer < plan.FirstAskedLayer;

    internal override IEnumerable<int> AmateurLayers(int layer, ExitPlan plan)
    {
        int first = FirstCandidate(plan);
        return Enumerable.Range(first, Math.Max(0, plan.FirstAskedLayer - first));
    }

    private protected override Confidence With(ContrastiveOptions options) => new JsdContrastive(options);

    private protected override bool TryFindAmateur(TokenState token, ReadOnlySpan<int> head, out int amateur)
    {
        amateur = 0;
        double best = 0;
        for (int layer = FirstCandidate(token.Plan); layer < token.Layer; layer++)
        {
            // A divergence that is no number, which the published code can have, is never larger, nor is any other larger than it.
            double score = Divergence(token, token.LogitsAt(layer), head) / (token.Layer - layer);
            if (amateur == 0 || score > best)
                (best, amateur) = (score, layer);
        }

        return amateur > 0;
    }

    private int FirstCandidate(ExitPlan plan) =>
        plan.ReferenceCompatible || Options.Amateurs == EarlyExit.AmateurLayers.All ? FirstOfAll : plan.FirstAskedLayer;

    private static double Divergence(TokenState token, LayerLogits amateur, ReadOnlySpan<int> head)
    {
        ReadOnlySpan<float> logits = token.Logits.Values;
        double logSumExp = token.Logits.LogSumExp;
        double sum = 0;
        foreach (int index in head)
        {
            double logP = logits[index] - logSumExp;
            double logQ = LogProbability(token, amateur, index);
            double p = Math.Exp(logP);
            double q = Math.Exp(logQ);
            double logR = Math.Log((p + q) / 2);
            sum += p * (logP - logR);

            // 0 ln 0 = 0; in the published code it is no number.
            if (q > 0 || token.Plan.ReferenceCompatible)
                sum += q * (logQ - logR);
        }

        return sum / 2;
    }
}
