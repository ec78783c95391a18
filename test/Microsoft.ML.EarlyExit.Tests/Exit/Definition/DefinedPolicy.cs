using System.Numerics;
using FsCheck;
using FsCheck.Fluent;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A policy in the words of its definition: what <see cref="DefinedToken"/> computes by, and the library's policy that says the same.</summary>
internal sealed record DefinedPolicy
{
    public required int MinimumLayer { get; init; }

    /// <summary>The layers that are asked after, as far as they are not below <see cref="MinimumLayer"/>; null for all.</summary>
    public IReadOnlyList<int>? AskLayers { get; init; }

    /// <summary>How many of the asked layers either side of the previous token's exit are asked after; null for all.</summary>
    public int? AskNearPrevious { get; init; }

    public float Threshold { get; init; } = 0.9f;

    /// <summary>One for each layer, in the place of <see cref="Threshold"/>.</summary>
    public IReadOnlyList<float>? Thresholds { get; init; }

    public DefinedMeasure Measure { get; init; }

    public DefinedCut Cut { get; init; }

    public int? K { get; init; }

    public int KMax { get; init; } = 35000;

    public int KMin { get; init; } = 250;

    public float Scale { get; init; } = 0.9f;

    public bool WholeAtLastLayer { get; init; } = true;

    public float Alpha { get; init; } = 0.1f;

    public float? HyperbolicRate { get; init; }

    public bool PrunedIsPlausible { get; init; }

    public bool AllAmateurs { get; init; }

    public bool? WeighsHeadMass { get; init; }

    public bool ChoosesContrastive { get; init; }

    /// <summary>The layers that are asked after, in their order.</summary>
    /// <param name="layerCount">L.</param>
    /// <param name="previousExit">Where the token before exited; null for the first token.</param>
    public IReadOnlyList<int> Asked(int layerCount, int? previousExit)
    {
        List<int> all = [.. Enumerable.Range(MinimumLayer, layerCount - MinimumLayer).Where(layer => AskLayers?.Contains(layer) ?? true)];
        if (AskNearPrevious is not { } near || previousExit is not { } exit)
            return all;
        // Where it exited, or would have with one more layer asked at L.
        int place = all.FindIndex(layer => layer >= exit);
        place = place < 0 ? all.Count : place;
        return [.. all.Where((_, index) => Math.Abs(index - place) <= near)];
    }

    /// <summary>The first of them.</summary>
    public int FirstAsked => AskLayers?.Where(layer => layer >= MinimumLayer).Min() ?? MinimumLayer;

    public bool IsContrastive => Measure is DefinedMeasure.Weighted or DefinedMeasure.Jsd;

    /// <summary>Every measure with every pruning and the defaults, cut small enough for a vocabulary of some hundred tokens; saturation without pruning
    /// only.</summary>
    public static IEnumerable<DefinedPolicy> EveryMeasureAndCut(int minimumLayer, float threshold) =>
        from measure in Enum.GetValues<DefinedMeasure>()
        from cut in Enum.GetValues<DefinedCut>()
        where measure != DefinedMeasure.Saturation || cut == DefinedCut.None
        select new DefinedPolicy
        {
            MinimumLayer = minimumLayer,
            Threshold = threshold,
            Measure = measure,
            Cut = cut,
            K = cut is DefinedCut.Fixed or DefinedCut.Adaptive ? 90 : null,
            KMax = cut == DefinedCut.Decaying ? 200 : 35000,
            KMin = cut is DefinedCut.Decaying or DefinedCut.Adaptive ? 12 : 250,
        };

    /// <summary>Any policy for a model of some layers and tokens.</summary>
    public static Gen<DefinedPolicy> Any(int layerCount, int vocabularySize) =>
        from minimumLayer in Gen.Choose(1, layerCount - 1)
        from threshold in Gen.Choose(0, 20)
        from perLayer in Gen.ArrayOf(Gen.Choose(0, 20), layerCount)
        from measure in Gen.Elements(
            DefinedMeasure.Margin, DefinedMeasure.Saturation, DefinedMeasure.Weighted, DefinedMeasure.Weighted, DefinedMeasure.Jsd, DefinedMeasure.Jsd)
        from cut in Gen.Choose(0, 3)
        from k in Gen.Choose(1, (vocabularySize * 5 / 4) + 1)
        from kMin in Gen.OneOf(Gen.Choose(2, 10), Gen.Choose(2, vocabularySize))
        from more in Gen.OneOf(Gen.Choose(0, 100), Gen.Choose(0, 10 * vocabularySize))
        from scale in Gen.Elements(0.9f, 0.9f, 0f, 0.5f, 1f)
        from isWhole in Gen.Elements(true, false)
        from alpha in Gen.Elements(0.1f, 0.1f, 0f, 1e-4f, 0.02f, 0.5f, 1f)
        from rate in Gen.Elements<float?>(null, null, 0f, 0.1f, 3f)
        from flags in Gen.Choose(0, 63)
        from asked in Gen.Choose(1, layerCount - 1).NonEmptyListOf()
        from asksSome in Gen.Elements(true, false)
        from near in Gen.Elements<int?>(null, null, 1, 2)
        let isCut = cut > 0 && measure != DefinedMeasure.Saturation
        let isContrastive = measure is DefinedMeasure.Weighted or DefinedMeasure.Jsd
        select new DefinedPolicy
        {
            MinimumLayer = minimumLayer,
            AskLayers = asksSome && !isContrastive && asked.Max() >= minimumLayer ? [.. asked.Distinct()] : null,
            AskNearPrevious = isContrastive ? null : near,
            Threshold = threshold / 20f,
            Thresholds = threshold % 3 == 0 ? [.. perLayer.Select(one => one / 20f)] : null,
            Measure = measure,
            Cut = isCut ? (DefinedCut)cut : DefinedCut.None,
            // Without k: what the decaying function leaves at j.
            K = isCut && cut is 1 or 3 && k > 1 ? k : null,
            KMin = isCut && cut is 2 or 3 ? kMin : 250,
            KMax = isCut && cut == 2 ? kMin + more : 35000,
            Scale = scale,
            WholeAtLastLayer = isWhole,
            Alpha = alpha,
            HyperbolicRate = isContrastive ? rate : null,
            PrunedIsPlausible = isContrastive && isCut && (flags & 1) != 0,
            AllAmateurs = (flags & 2) != 0,
            WeighsHeadMass = (flags & 4) == 0 ? null : (flags & 8) != 0,
            ChoosesContrastive = isContrastive && (flags & 48) == 48,
        };

    public ExitPolicy ToPolicy()
    {
        var contrastive = new ContrastiveOptions
        {
            Alpha = Alpha,
            DecayRate = HyperbolicRate,
            PlausibilityFromPruning = PrunedIsPlausible,
            AmateursBelowMinimumLayer = AllAmateurs,
            PlausibleSetWeight = WeighsHeadMass is null ? null : WeighsHeadMass.Value ? PlausibleSetWeight.Mass : PlausibleSetWeight.One,
            Token = ChoosesContrastive ? ContrastiveToken.Contrastive : ContrastiveToken.Expert,
        };
        ExitPolicy thresholds = Thresholds is null ? new ExitPolicy { Threshold = Threshold } : new ExitPolicy { Thresholds = Thresholds };
        return thresholds with
        {
            MinimumLayer = MinimumLayer,
            AskLayers = AskLayers,
            AskNearPrevious = AskNearPrevious,
            FullVocabularyAtLastLayer = WholeAtLastLayer,
            Confidence = Measure switch
            {
                DefinedMeasure.Margin => Confidence.SoftmaxMargin,
                DefinedMeasure.Saturation => Confidence.HiddenStateSaturation,
                DefinedMeasure.Weighted => Confidence.WeightedContrastive(contrastive),
                _ => Confidence.JsdContrastive(contrastive),
            },
            Pruning = Cut switch
            {
                DefinedCut.None => VocabularyPruning.None,
                DefinedCut.Fixed => VocabularyPruning.Fixed(K),
                DefinedCut.Decaying => VocabularyPruning.Decaying(KMax, KMin),
                _ => VocabularyPruning.Adaptive(Scale, KMin, K),
            },
        };
    }

    /// <summary>k_l as the definition has it, and how near its product was to an integer where a confidence decided it.</summary>
    public (int Count, double Distance) CountAt(int layer, int layerCount, double previousConfidence)
    {
        int first = K ?? DecayingAt(FirstAsked, layerCount, Math.Max(KMax, KMin), KMin);
        switch (Cut)
        {
            case DefinedCut.None:
                return (int.MaxValue, 1);
            case DefinedCut.Fixed:
                return (first, 1);
            case DefinedCut.Decaying:
                return (DecayingAt(layer, layerCount, KMax, KMin), 1);
            default:
                double product = first * (1 - (Scale * previousConfidence));
                return (Math.Max(KMin, (int)Math.Floor(product)), Math.Abs(product - Math.Round(product)));
        }
    }

    /// <summary>The decaying function in whole numbers.</summary>
    public static int DecayingAt(int layer, int layerCount, int kMax, int kMin)
    {
        // kMax / (1 + (kMax - kMin) / kMin · l / L), numerator and denominator times kMin · L.
        BigInteger share = (BigInteger)kMax * kMin * layerCount / (((BigInteger)kMin * layerCount) + ((BigInteger)(kMax - kMin) * layer));
        return (int)BigInteger.Max(kMin, share);
    }
}
