using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit;

/// <summary>A token after some decoder layer, as a confidence of your own sees it. The spans are valid until the delegate returns, and all their numbers are
/// finite.</summary>
public readonly ref struct TokenView
{
    internal TokenView(TokenState token, bool hasLogits)
    {
        Layer = token.Layer;
        LayerCount = token.Plan.LayerCount;
        Position = token.Position;
        HiddenState = token.Hidden;
        if (!hasLogits)
            return;
        Logits = token.Logits.Values;
        TokenIds = token.Logits.IsFull ? [] : token.Alive.Ids;
    }

    /// <summary>The decoder blocks that have run for the token, from 1.</summary>
    public int Layer { get; }

    /// <summary>The model's decoder layers, L.</summary>
    public int LayerCount { get; }

    /// <summary>The token's position in the output, from 0; with self-speculation tokens that are only drafted count.</summary>
    public int Position { get; }

    /// <summary>The hidden state after <see cref="Layer"/> blocks, before the final norm: as many numbers as the model is wide.</summary>
    public ReadOnlySpan<float> HiddenState { get; }

    /// <summary>The logits at <see cref="Layer"/>; empty for a measure that needs the hidden state only.</summary>
    public ReadOnlySpan<float> Logits { get; }

    /// <summary>The ids of the tokens that <see cref="Logits"/> are of, where the vocabulary is pruned; empty where they are of all tokens, the first of id
    /// 0.</summary>
    public ReadOnlySpan<int> TokenIds { get; }
}
