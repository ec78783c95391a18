namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Auto-contrastive (Gera et al., 2023; section 4.3 of the paper): the amateur of layer l is layer <c>floor(l / 2)</c>. Where that is 0 the softmax margin takes its
/// place.
/// </summary>
internal sealed class WeightedContrastive(ContrastiveOptions options) : ContrastiveConfidence(options)
{
    internal override string Name => "weightedContrastive";

    private protected override bool HasNothingOutsideTheHead => true;

    private protected override HeadWeight DefaultHeadWeight => HeadWeight.HeadMass;

    internal override void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        base.Validate(policy, configuration);
        if (policy.ReferenceCompatible && policy.FirstAskedLayer == 1)
            throw new ArgumentException("With ReferenceCompatible, WeightedContrastive needs a MinimumLayer of at least 2: the published code fails at 1, where there is no amateur.");
    }

    internal override bool NeedsHiddenState(int layer, ExitPlan plan) =>
        layer > 0 && layer < plan.FirstAskedLayer && (plan.Asks(2 * layer) || plan.Asks((2 * layer) + 1));

    internal override IEnumerable<int> AmateurLayers(int layer, ExitPlan plan) => layer / 2 is > 0 and int amateur && amateur < plan.FirstAskedLayer ? [amateur] : [];

    private protected override Confidence With(ContrastiveOptions options) => new WeightedContrastive(options);

    private protected override bool TryFindAmateur(TokenState token, ReadOnlySpan<int> head, out int amateur)
    {
        amateur = token.Layer / 2;
        return amateur > 0;
    }
}
