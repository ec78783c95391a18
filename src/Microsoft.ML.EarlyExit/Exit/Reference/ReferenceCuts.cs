using System.Globalization;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>
/// The published code's cuts: of a list that is made at j and sorted by id they keep the beginning, the lowest ids rather than the best tokens. A pruning that
/// follows the confidence keeps a share of the full vocabulary each time and has no lower bound, so that the alive set can grow again.
/// </summary>
internal sealed class ReferenceCuts(VocabularyPruning pruning, int firstLayer, int layerCount, int vocabularySize)
    : VocabularyCuts(pruning, firstLayer, layerCount, vocabularySize)
{
    public override bool IsReadAtLastLayer => true;

    public override string? FindProblem(AliveVocabulary alive, int position, int layer) => alive.Count >= 2
        ? null
        : string.Create(
            CultureInfo.InvariantCulture,
            $"With ReferenceCompatible, Pruning leaves {alive.Count} of {VocabularySize} tokens for decoder layer {layer} of token {position}, where a "
            + $"confidence needs two: the published code has no lower bound. Lower the pruning's scale, or set ReferenceCompatible to false.");

    private protected override int Listed(int next, float confidence) => FirstSize;

    private protected override void Cut(AliveVocabulary alive, int next, float confidence)
    {
        if (alive.IsFull)
            alive.List(FirstSize);
        alive.Keep(Pruning.ShareOf(VocabularySize, confidence) ?? CountAt(next, confidence));
    }
}
