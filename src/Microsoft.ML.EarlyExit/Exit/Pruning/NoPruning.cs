namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>The full vocabulary at every layer.</summary>
internal sealed class NoPruning : VocabularyPruning
{
    internal static PruningKind Kind { get; } = new("none", _ => None);

    internal override string Name => Kind.Name;

    internal override bool Prunes => false;

    public override bool Equals(VocabularyPruning? other) => other is NoPruning;

    public override int GetHashCode() => 0;

    internal override int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence) => int.MaxValue;

    internal override int FirstSize(int firstLayer, int layerCount) => int.MaxValue;
}
