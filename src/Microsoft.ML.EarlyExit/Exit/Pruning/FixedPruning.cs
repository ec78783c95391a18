namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>The same number of tokens at every layer after j (section 4.2 of the paper): k, or the value of the decaying function at j.</summary>
internal sealed class FixedPruning(int? k, int kMax, int kMin) : VocabularyPruning
{
    private readonly DecayingPruning _decaying = new(kMax, kMin);

    internal int? K { get; } = k is null ? null : AtLeastTwo(k.Value, nameof(k));

    internal int KMax => _decaying.KMax;

    internal int KMin => _decaying.KMin;

    internal static PruningKind Kind { get; } = new("fixed", given => new FixedPruning(given.K, given.KMax, given.KMin));

    internal override string Name => Kind.Name;

    internal override PruningParameters Parameters => new(K, KMax, KMin);

    internal override bool CutsOnce => true;

    public override bool Equals(VocabularyPruning? other) => other is FixedPruning same && same.K == K && same._decaying.Equals(_decaying);

    public override int GetHashCode() => HashCode.Combine(Name, K, _decaying);

    public override string ToString() => K is { } k ? $"{Name} (k {k})" : $"{Name} (kMax {KMax}, kMin {KMin})";

    internal override int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence) => FirstSize(firstLayer, layerCount);

    internal override int FirstSize(int firstLayer, int layerCount) => K ?? _decaying.FirstSize(firstLayer, layerCount);
}
