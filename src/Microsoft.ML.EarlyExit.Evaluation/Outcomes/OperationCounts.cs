using System.Text.Json.Serialization;
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
/// <c>t</c> the token's position from 0, and <c>k</c> the rows of the LM head that were multiplied (the full vocabulary, <c>VocabularySize</c>, where nothing
/// was pruned).
/// Source: the products of the T5 architecture (arXiv 1910.10683) with a cache of keys and values; <see cref="Paper"/>: the code published with Abdel Sadek et
/// al., "Optimizing Predictions: Vocabulary Reduction and Contrastive Decoding in LLMs", 2024, https://github.com/joanvelja/Confidently_Exiting.
/// </remarks>
public readonly record struct OperationCounts
{
    /// <summary>Each number by its name.</summary>
    [JsonConstructor]
    internal OperationCounts(long decoder, long statePropagation, long confidence, long head, long paper)
    {
        Decoder = decoder;
        StatePropagation = statePropagation;
        Confidence = confidence;
        Head = head;
        Paper = paper;
    }

    /// <summary>
    /// The decoder blocks: for each that ran <c>2·d·i·4 + 4·i·(t+1)</c> (self-attention) <c>+ 2·d·i·2 + 4·i·S</c> (cross-attention) <c>+ 2·d·f·g</c>
    /// (feed-forward), and <c>2·d·i·2·S</c> the first time the row reached a layer (its cross-attention keys and values). With
    /// <c>StatePropagation.ParallelDecoding</c> also the blocks that run for earlier tokens, each at its own position, counted for the token that needed them.
    /// </summary>
    public long Decoder { get; internal init; }

    /// <summary>
    /// Keys and values of tokens that had exited before a layer, by <c>StatePropagation.StateCopy</c>: <c>2·d·i·2</c> for each layer and position. They are
    /// counted for the token that reached the layer and needed them, so a layer that no later token reached costs nothing.
    /// </summary>
    public long StatePropagation { get; internal init; }

    /// <summary>LM head products made for confidences: <c>2·d·k</c> each; 0 for a measure without logits.</summary>
    public long Confidence { get; internal init; }

    /// <summary>The LM head product that chose the token, where none made for a confidence could serve: <c>2·d·k</c>.</summary>
    public long Head { get; internal init; }

    /// <summary>
    /// The published code's own count, <c>d²·k</c> for each confidence evaluated: to set beside that paper's figures. It stands beside the other numbers and is
    /// no part of their sum.
    /// </summary>
    public long Paper { get; internal init; }

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
