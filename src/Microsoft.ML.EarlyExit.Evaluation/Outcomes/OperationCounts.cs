using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Floating-point operations of a generated token or row, by what they were done for: exact numbers that follow from the model's sizes and from what ran,
/// the same on every machine and in every batch. A multiplication and its addition count 2; norms, softmax, activations, embeddings and the encoder are not
/// counted.
/// </summary>
/// <remarks>
/// In the formulas, in the words of <c>T5Configuration</c>, <c>d</c> is <c>ModelDimension</c>, <c>i</c> the heads times the width of one (<c>HeadCount</c>,
/// <c>KeyValueDimension</c>), <c>f</c> <c>FeedForwardDimension</c>, <c>g</c> 3 for gated feed-forward layers and else 2, <c>S</c> the row's encoder positions,
/// <c>t</c> the token's position from 0, and <c>k</c> the rows of the head that were multiplied (the whole vocabulary, <c>VocabularySize</c>, where nothing was
/// pruned).
/// Source: the products of the T5 architecture (arXiv 1910.10683) with a cache of keys and values; <see cref="Paper"/>: the code published with the paper on
/// confidence measures for early exit, https://github.com/joanvelja/Confidently_Exiting.
/// </remarks>
/// <param name="Decoder">
/// The decoder blocks: for each that ran <c>2·d·i·4 + 4·i·(t+1)</c> (self-attention) <c>+ 2·d·i·2 + 4·i·S</c> (cross-attention) <c>+ 2·d·f·g</c>
/// (feed-forward), and <c>2·d·i·2·S</c> the first time the row reached a layer (its cross-attention keys and values). With
/// <c>StatePropagation.ParallelDecoding</c> also the blocks that run for earlier tokens, each at its own position, counted for the token that needed them.
/// </param>
/// <param name="StatePropagation">
/// Keys and values of tokens that had left before a layer, by <c>StatePropagation.StateCopy</c>: <c>2·d·i·2</c> for each layer and position. They are
/// counted for the token that reached the layer and needed them, so a layer that no later token reached costs nothing.
/// </param>
/// <param name="Confidence">Head products made for confidences: <c>2·d·k</c> each; 0 for a measure without logits.</param>
/// <param name="Head">The head product that chose the token, where none made for a confidence could serve: <c>2·d·k</c>.</param>
/// <param name="Paper">
/// The published code's own count, <c>d²·k</c> for each confidence evaluated: to set beside that paper's figures. It stands beside the other numbers and is no
/// part of their sum.
/// </param>
public readonly record struct OperationCounts(long Decoder, long StatePropagation, long Confidence, long Head, long Paper)
{
    /// <summary>All operations: the sum of <see cref="Decoder"/>, <see cref="StatePropagation"/>, <see cref="Confidence"/> and <see cref="Head"/>.</summary>
    public long Total => Decoder + StatePropagation + Confidence + Head;

    /// <summary>Adds two counts, each number to its own.</summary>
    public static OperationCounts operator +(OperationCounts left, OperationCounts right) => new(
        left.Decoder + right.Decoder,
        left.StatePropagation + right.StatePropagation,
        left.Confidence + right.Confidence,
        left.Head + right.Head,
        left.Paper + right.Paper);

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
