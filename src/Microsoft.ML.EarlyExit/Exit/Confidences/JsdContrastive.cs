using Microsoft.ML.EarlyExit.Exit.Reference;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>
/// DoLa-like (Chuang et al., 2024; section 4.3 of the paper): the amateur of layer l is the candidate m of the largest <c>JSD(p^l, p^m) / (l - m)</c>, with
/// <c>JSD = 1/2 Σ p (ln p - ln r) + 1/2 Σ q (ln q - ln r)</c>, <c>r = (p + q) / 2</c>, over the plausible set. Without candidates the softmax margin takes its
/// place.
/// </summary>
internal class JsdContrastive(ContrastiveOptions options) : ContrastiveConfidence(options)
{
    private protected const int FirstOfAll = 2;

    internal static ConfidenceKind Kind { get; } = new("jsdContrastive", Parameters, (_, options) => Confidence.JsdContrastive((ContrastiveOptions?)options));

    internal sealed override string Name => Kind.Name;

    private protected override PlausibleSetWeight DefaultWeight => PlausibleSetWeight.One;

    internal override bool NeedsHiddenState(int layer, ExitPlan plan) => layer >= FirstCandidate(plan) && layer < plan.FirstEvaluatedLayer;

    internal override IEnumerable<int> AmateurLayers(int layer, ExitPlan plan)
    {
        int first = FirstCandidate(plan);
        return Enumerable.Range(first, Math.Max(0, plan.FirstEvaluatedLayer - first));
    }

    internal sealed override Confidence ForReference() => new ReferenceJsdContrastive(Options);

    private protected override Confidence With(ContrastiveOptions options) => new JsdContrastive(options);

    private protected override bool TryFindAmateur(TokenState token, ReadOnlySpan<int> plausible, out int amateur)
    {
        amateur = 0;
        double best = 0;
        for (int layer = FirstCandidate(token.Plan); layer < token.Layer; layer++)
        {
            // In the published code a divergence can be no number: it is never larger, nor is any other larger than it.
            double score = Divergence(token.Logits, AmateurAt(token, layer), plausible) / (token.Layer - layer);
            if (amateur == 0 || score > best)
                (best, amateur) = (score, layer);
        }

        return amateur > 0;
    }

    private protected virtual int FirstCandidate(ExitPlan plan) => Options.AmateursBelowMinimumLayer ? FirstOfAll : plan.FirstEvaluatedLayer;

    private static double Divergence(LayerLogits expert, AmateurLogProbabilities amateur, ReadOnlySpan<int> plausible)
    {
        ReadOnlySpan<float> logits = expert.Values;
        double logSumExp = expert.LogSumExp;
        double sum = 0;
        foreach (int index in plausible)
        {
            double logP = logits[index] - logSumExp;
            double logQ = amateur[index];
            double p = Math.Exp(logP);
            double q = Math.Exp(logQ);
            double logR = Math.Log((p + q) / 2);
            sum += p * (logP - logR);
            sum += q * (logQ - logR);
        }

        return sum / 2;
    }
}
