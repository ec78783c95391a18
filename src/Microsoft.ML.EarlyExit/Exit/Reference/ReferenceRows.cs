namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>The head rows that the published code charges for an evaluation; see <see cref="OperationCounts.Paper"/>.</summary>
internal static class ReferenceRows
{
    /// <summary>Without pruning all, with pruning none for a token's first evaluation, and then those of the cut, also where fewer are alive.</summary>
    /// <param name="pruning">The pruning.</param>
    /// <param name="isFirst">Whether the evaluation is the token's first.</param>
    /// <param name="alive">Rows multiplied.</param>
    /// <param name="vocabularySize">Rows of the head.</param>
    /// <param name="previousConfidence">The confidence at the layer before.</param>
    public static int Of(VocabularyPruning pruning, bool isFirst, int alive, int vocabularySize, float previousConfidence) =>
        !pruning.Prunes ? alive : isFirst ? 0 : pruning.ShareOf(vocabularySize, previousConfidence) ?? alive;
}
