using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>The published code's weighted contrastive measure: tokens outside the plausible set score 0, what was cut has no probability, and nothing is
/// clamped.</summary>
internal sealed class ReferenceWeightedContrastive(ContrastiveOptions options) : WeightedContrastive(options)
{
    internal override bool ExitsWithoutNumber => true;

    private protected override bool ScoresZeroOutside => true;

    internal override void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        base.Validate(policy, configuration);
        if (policy.FirstEvaluatedLayer == 1)
        {
            throw new ArgumentException(
                "With ReferenceCompatible, WeightedContrastive needs a MinimumLayer of at least 2: the published code fails at 1, where there is no amateur.");
        }
    }

    private protected override AmateurLogProbabilities AmateurAt(TokenState token, int layer) => token.LogProbabilitiesAt(layer, double.NegativeInfinity);

    private protected override float Bound(double margin) => (float)margin;
}
