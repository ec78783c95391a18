using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Greedy choice of a token after the options that change logits, to Hugging Face's definitions and in its order: repetition penalty, no-repeat n-grams,
/// minimum length. The decoder start token counts as seen.
/// </summary>
internal sealed class TokenSelector(T5Configuration configuration, TextGenerationOptions options)
{
    /// <summary>No token can be chosen: the logits hold a NaN or an infinity.</summary>
    public const int Invalid = -1;

    /// <summary>Every token is forbidden.</summary>
    public const int Forbidden = -2;

    private readonly bool _changesLogits = options.RepetitionPenalty != 1f || options.NoRepeatNgramSize > 0 || options.MinNewTokens > 0;

    /// <summary>Chooses from the logits over the whole vocabulary, which it may overwrite.</summary>
    /// <param name="logits">[V].</param>
    /// <param name="sequence">The ids the decoder has seen, the start token first.</param>
    /// <param name="seen">Which ids are in <paramref name="sequence"/>, each once, in any order.</param>
    /// <returns>The id, the lowest of equals; <see cref="Invalid"/>; or <see cref="Forbidden"/>.</returns>
    public int Choose(Span<float> logits, ReadOnlySpan<int> sequence, ReadOnlySpan<int> seen)
    {
        int best = TensorPrimitives.IndexOfMax<float>(logits);
        if (!float.IsFinite(logits[best]))
            return Invalid;
        if (!_changesLogits)
            return best;

        if (options.RepetitionPenalty != 1f)
        {
            foreach (int id in seen)
                logits[id] = logits[id] < 0 ? logits[id] * options.RepetitionPenalty : logits[id] / options.RepetitionPenalty;
        }

        if (options.NoRepeatNgramSize > 0)
            ForbidRepeatedNgrams(logits, sequence, options.NoRepeatNgramSize);
        // The start token is not a new one.
        if (sequence.Length - 1 < options.MinNewTokens)
            logits[configuration.EndOfSequenceTokenId] = float.NegativeInfinity;
        best = TensorPrimitives.IndexOfMax<float>(logits);
        return float.IsNegativeInfinity(logits[best]) ? Forbidden : best;
    }

    private static void ForbidRepeatedNgrams(Span<float> logits, ReadOnlySpan<int> sequence, int size)
    {
        if (sequence.Length < size)
            return;
        ReadOnlySpan<int> prefix = sequence[(sequence.Length - size + 1)..];
        for (int start = 0; start + size <= sequence.Length; start++)
        {
            if (sequence.Slice(start, size - 1).SequenceEqual(prefix))
                logits[sequence[start + size - 1]] = float.NegativeInfinity;
        }
    }
}
