using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>The published code's JSD contrastive measure: every layer from 2 on may be amateur, what was cut has no probability, and nothing is
/// clamped.</summary>
internal sealed class ReferenceJsdContrastive(ContrastiveOptions options) : JsdContrastive(options)
{
    internal override bool ExitsWithoutNumber => true;

    internal override void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        base.Validate(policy, configuration);
        if (policy.FirstEvaluatedLayer <= FirstOfAll)
        {
            throw new ArgumentException(
                "With ReferenceCompatible, JsdContrastive needs a MinimumLayer of at least 3: the published code fails below, where there is no amateur.");
        }
    }

    private protected override int FirstCandidate(ExitPlan plan) => FirstOfAll;

    private protected override AmateurLogProbabilities AmateurAt(TokenState token, int layer) => token.LogProbabilitiesAt(layer, double.NegativeInfinity);

    private protected override float Bound(double margin) => (float)margin;
}
