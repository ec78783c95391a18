using System.Globalization;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>
/// Fewer tokens the surer the model was at the layer before: <c>k_l = max(kMin, floor(K · (1 - scale · c^(l-1))))</c> (section 4.2 of the paper). K is the size
/// the first cut starts from: k, or the value of the decaying function at j.
/// </summary>
internal sealed class AdaptivePruning(float scale, int? k, int kMax, int kMin) : VocabularyPruning
{
    private readonly DecayingPruning _decaying = new(kMax, kMin);

    internal float Scale { get; } = scale is >= 0 and <= 1 ? scale : throw new ArgumentOutOfRangeException(nameof(scale), scale, "scale must be from 0 to 1.");

    internal int? K { get; } = k is null ? null : AtLeastTwo(k.Value, nameof(k));

    internal int KMax => _decaying.KMax;

    internal int KMin => _decaying.KMin;

    internal static PruningKind Kind { get; } = new("adaptive", given => new AdaptivePruning(given.Scale, given.K, given.KMax, given.KMin));

    internal override string Name => Kind.Name;

    internal override PruningParameters Parameters => new(K, KMax, KMin, Scale);

    public override bool Equals(VocabularyPruning? other) =>
        other is AdaptivePruning same && (same.Scale, same.K) == (Scale, K) && same._decaying.Equals(_decaying);

    public override int GetHashCode() => HashCode.Combine(Name, Scale, K, _decaying);

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{Name} (scale {Scale}, {(K is { } k ? $"k {k}" : $"kMax {KMax}")}, kMin {KMin})");

    internal override int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence) =>
        Math.Max(KMin, Share(FirstSize(firstLayer, layerCount), previousConfidence));

    internal override int FirstSize(int firstLayer, int layerCount) => K ?? _decaying.FirstSize(firstLayer, layerCount);

    internal override int? ShareOf(int count, float previousConfidence) => Share(count, previousConfidence);

    private int Share(int of, float confidence) => (int)Math.Floor(of * (1 - (Scale * (double)confidence)));
}
