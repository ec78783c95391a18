namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>
/// Fewer tokens with every layer: <c>k_l = max(kMin, floor(kMax / (1 + (kMax - kMin) / kMin · l / L)))</c> (section 4.2 of the paper, which has kMax 35000 and
/// kMin 250).
/// </summary>
internal sealed class DecayingPruning(int kMax, int kMin) : VocabularyPruning
{
    internal int KMin { get; } = AtLeastTwo(kMin, nameof(kMin));

    internal int KMax { get; } = kMax >= kMin
        ? kMax
        : throw new ArgumentOutOfRangeException(nameof(kMax), kMax, $"kMax must be at least kMin, which is {kMin}.");

    internal static PruningKind Kind { get; } = new("decaying", given => new DecayingPruning(given.KMax, given.KMin), TakesK: false);

    internal override string Name => Kind.Name;

    internal override PruningParameters Parameters => new(KMax: KMax, KMin: KMin);

    public override bool Equals(VocabularyPruning? other) => other is DecayingPruning same && (same.KMax, same.KMin) == (KMax, KMin);

    public override int GetHashCode() => HashCode.Combine(Name, KMax, KMin);

    public override string ToString() => $"{Name} (kMax {KMax}, kMin {KMin})";

    internal override int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence) => At(layer, layerCount, KMax, KMin);

    internal override int FirstSize(int firstLayer, int layerCount) => At(firstLayer, layerCount, KMax, KMin);

    /// <summary>The formula; at j it is also what the other kinds start from unless they are told a number.</summary>
    internal static int At(int layer, int layerCount, int kMax, int kMin)
    {
        // Numerator and denominator times kMin · L, in whole numbers: rounded, a quotient of exactly 3000 would come out as 2999.
        Int128 share = (Int128)kMax * kMin * layerCount / (((Int128)kMin * layerCount) + ((Int128)(kMax - kMin) * layer));
        return Math.Max(kMin, (int)share);
    }
}
