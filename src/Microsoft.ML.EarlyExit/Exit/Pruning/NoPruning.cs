namespace Microsoft.ML.EarlyExit;

/// <summary>The whole vocabulary at every layer.</summary>
internal sealed class NoPruning : VocabularyPruning
{
    internal override string Kind => "none";

    public override bool Equals(VocabularyPruning? other) => other is NoPruning;

    public override int GetHashCode() => 0;

    internal override int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence) => int.MaxValue;

    internal override int ListSize(int firstLayer, int layerCount) => int.MaxValue;
}
