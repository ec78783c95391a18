using FsCheck;
using FsCheck.Fluent;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Policies of any fields, also of those that exclude each other.</summary>
internal static class AnyPolicies
{
    private static readonly Gen<float> s_unit = Gen.OneOf(
        Gen.Elements(0f, 1f, 0.1f, float.Epsilon, MathF.BitDecrement(1)), Gen.Choose(0, 1 << 24).Select(value => value / (float)(1 << 24)));

    private static readonly Gen<ContrastiveOptions> s_contrastive =
        from alpha in s_unit
        from rate in Gen.OneOf(s_unit, Gen.Elements(3.5f, 1e30f))
        from flags in Gen.Choose(0, 31)
        from weight in Gen.Elements<PlausibleSetWeight?>(null, PlausibleSetWeight.One, PlausibleSetWeight.Mass)
        select new ContrastiveOptions
        {
            Alpha = alpha,
            DecayRate = (flags & 1) != 0 ? rate : null,
            PlausibilityFromPruning = (flags & 2) != 0,
            AmateursBelowMinimumLayer = (flags & 4) != 0,
            Token = (flags & 8) != 0 ? ContrastiveToken.Contrastive : ContrastiveToken.Expert,
            PlausibleSetWeight = weight,
        };

    private static readonly Gen<Confidence> s_confidence = Gen.OneOf(
        Gen.Elements(Confidence.SoftmaxMargin, Confidence.HiddenStateSaturation),
        s_contrastive.Select(Confidence.WeightedContrastive),
        s_contrastive.Select(Confidence.JsdContrastive),
        from weight in s_unit from bias in s_unit select Confidence.Classifier([[weight, -weight], [1, 0]], [bias, 0]));

    private static readonly Gen<int> s_count = Gen.OneOf(Gen.Choose(2, 300), Gen.Choose(2, int.MaxValue));

    private static readonly Gen<VocabularyPruning> s_pruning = Gen.OneOf(
        Gen.Constant(VocabularyPruning.None),
        Gen.Constant(VocabularyPruning.Fixed()),
        s_count.Select(k => VocabularyPruning.Fixed(k)),
        from one in s_count from other in s_count select VocabularyPruning.Decaying(Math.Max(one, other), Math.Min(one, other)),
        from scale in s_unit from kMin in s_count from k in s_count select VocabularyPruning.Adaptive(scale, kMin, k),
        from scale in s_unit from kMin in s_count select VocabularyPruning.Adaptive(scale, kMin));

    public static Gen<ExitPolicy> Policy =>
        from confidence in s_confidence
        from pruning in s_pruning
        from flags in Gen.Choose(0, 2047)
        from asked in Gen.OneOf(Gen.Constant<int[]?>(null), Gen.Choose(1, 30).NonEmptyListOf().Select(int[]? (layers) => [.. layers.Distinct()]))
        from layer in Gen.OneOf(Gen.Choose(1, 30), Gen.Choose(1, int.MaxValue))
        from other in Gen.Choose(1, 30)
        from threshold in s_unit
        from thresholds in s_unit.ArrayOf()
        from temperature in Gen.OneOf(s_unit, Gen.Elements(8f, 1e20f))
        from near in Gen.OneOf(Gen.Constant<int?>(null), Gen.Choose(1, 30).Select(int? (count) => count))
        select Build(confidence, pruning, flags, layer, other, threshold, thresholds, temperature) with { AskLayers = asked, AskNearPrevious = near };

    private static ExitPolicy Build(
        Confidence confidence, VocabularyPruning pruning, int flags, int layer, int other, float threshold, float[] thresholds, float temperature)
    {
        var policy = new ExitPolicy
        {
            Confidence = confidence,
            Pruning = pruning,
            ThresholdTemperature = temperature,
            FullVocabularyAtLastLayer = (flags & 1) == 0,
            ReferenceCompatible = (flags & 2) != 0,
            StaticExitLayer = (flags & 4) != 0 ? other : null,
            ShallowDeep = (flags & 8) != 0 ? new ShallowDeep { ExitLayer = layer, AdaptiveThreshold = (flags & 128) != 0 } : null,
            StatePropagation = (flags & 256) != 0 ? StatePropagation.ParallelDecoding : StatePropagation.StateCopy,
            SelfSpeculation = (flags & 512) != 0 ? new SelfSpeculation { DraftTokens = (flags & 1024) != 0 ? other : null } : null,
            Thresholds = (flags & 16) != 0 ? thresholds : null,
        };
        policy = (flags & 32) != 0 ? policy with { MinimumLayer = layer } : policy;
        return (flags & 64) != 0 ? policy with { Threshold = threshold } : policy;
    }
}
