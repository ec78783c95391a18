using Microsoft.ML.EarlyExit.Exit.Reference;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>
/// Auto-contrastive (Gera et al., 2023; section 4.3 of the paper): the amateur of layer l is layer <c>floor(l / 2)</c>. Where that is 0 the softmax margin
/// takes its place.
/// </summary>
internal class WeightedContrastive(ContrastiveOptions options) : ContrastiveConfidence(options)
{
    internal static ConfidenceKind Kind { get; } = new(
        "weightedContrastive", Parameters, (_, options) => Confidence.WeightedContrastive((ContrastiveOptions?)options));

    internal sealed override string Name => Kind.Name;

    private protected override PlausibleSetWeight DefaultWeight => PlausibleSetWeight.Mass;

    internal override bool NeedsHiddenState(int layer, ExitPlan plan) =>
        layer > 0 && layer < plan.FirstEvaluatedLayer && (plan.Evaluates(2 * layer) || plan.Evaluates((2 * layer) + 1));

    internal override IEnumerable<int> AmateurLayers(int layer, ExitPlan plan) =>
        layer / 2 is > 0 and int amateur && amateur < plan.FirstEvaluatedLayer ? [amateur] : [];

    internal sealed override Confidence ForReference() => new ReferenceWeightedContrastive(Options);

    private protected override Confidence With(ContrastiveOptions options) => new WeightedContrastive(options);

    private protected override bool TryFindAmateur(TokenState token, ReadOnlySpan<int> plausible, out int amateur)
    {
        amateur = token.Layer / 2;
        return amateur > 0;
    }
}
