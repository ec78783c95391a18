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

    private readonly float _repetitionPenalty = options.RepetitionPenalty ?? TextGenerationOptions.Defaults.RepetitionPenalty;
    private readonly int _noRepeatNgramSize = options.NoRepeatNgramSize ?? 0;
    private readonly int _minNewTokens = options.MinNewTokens ?? 0;

    /// <summary>Whether any option changes logits.</summary>
    public bool ChangesLogits => _repetitionPenalty != 1f || _noRepeatNgramSize > 0 || _minNewTokens > 0;

    /// <summary>Chooses from logits, which it may overwrite: a caller that needs them afterwards gives a copy where <see cref="ChangesLogits"/>.</summary>
    /// <param name="logits">[V], or as many as <paramref name="ids"/>.</param>
    /// <param name="ids">The ids the logits are of; empty where they are of the whole vocabulary, in order.</param>
    /// <param name="row">The row.</param>
    /// <returns>The id, the lowest of equals; <see cref="Invalid"/>; or <see cref="Forbidden"/>.</returns>
    public int Choose(Span<float> logits, ReadOnlySpan<int> ids, DecodingRow row)
    {
        int best = LogitScan.ArgMax(logits);
        if (best < 0)
            return Invalid;
        if (ChangesLogits)
        {
            Change(logits, ids, row);
            best = TensorPrimitives.IndexOfMax<float>(logits);
            if (float.IsNegativeInfinity(logits[best]))
                return Forbidden;
        }

        return ids.IsEmpty ? best : LowestOfEquals(logits, ids, best);
    }

    /// <summary>The places of the alive tokens are ordered by another layer's logits.</summary>
    private static int LowestOfEquals(ReadOnlySpan<float> logits, ReadOnlySpan<int> ids, int best)
    {
        int id = ids[best];
        for (int index = best + 1; index < logits.Length; index++)
        {
            if (logits[index] == logits[best])
                id = Math.Min(id, ids[index]);
        }

        return id;
    }

    private void Change(Span<float> logits, ReadOnlySpan<int> ids, DecodingRow row)
    {
        if (_repetitionPenalty != 1f)
        {
            if (ids.IsEmpty)
            {
                foreach (int id in row.Seen)
                    Penalize(ref logits[id]);
            }
            else
            {
                for (int index = 0; index < ids.Length; index++)
                {
                    if (row.HasSeen(ids[index]))
                        Penalize(ref logits[index]);
                }
            }
        }

        if (_noRepeatNgramSize > 0)
            ForbidRepeatedNgrams(logits, ids, row.Sequence, _noRepeatNgramSize);
        // The start token is not a new one.
        if (row.TokenCount < _minNewTokens)
            Forbid(logits, ids, configuration.EndOfSequenceTokenId);

        void Penalize(ref float logit) => logit = logit < 0 ? logit * _repetitionPenalty : logit / _repetitionPenalty;
    }

    private static void Forbid(Span<float> logits, ReadOnlySpan<int> ids, int id)
    {
        int at = ids.IsEmpty ? id : ids.IndexOf(id);
        if (at >= 0)
            logits[at] = float.NegativeInfinity;
    }

    private static void ForbidRepeatedNgrams(Span<float> logits, ReadOnlySpan<int> ids, ReadOnlySpan<int> sequence, int size)
    {
        if (sequence.Length < size)
            return;
        ReadOnlySpan<int> prefix = sequence[(sequence.Length - size + 1)..];
        for (int start = 0; start + size <= sequence.Length; start++)
        {
            if (sequence.Slice(start, size - 1).SequenceEqual(prefix))
                Forbid(logits, ids, sequence[start + size - 1]);
        }
    }
}
