namespace Microsoft.ML.EarlyExit.Generation.TokenChoice;

/// <summary>
/// The options that change logits before a token is chosen, to Hugging Face's definitions and in its order: repetition penalty, no-repeat n-grams, minimum
/// length. The decoder start token counts as seen. How a token is then chosen is no matter of theirs.
/// </summary>
internal sealed class LogitRules(T5Configuration configuration, TextGenerationOptions options)
{
    private readonly float _repetitionPenalty = options.RepetitionPenalty ?? TextGenerationOptions.Defaults.RepetitionPenalty;
    private readonly int _noRepeatNgramSize = options.NoRepeatNgramSize ?? 0;
    private readonly int _minNewTokens = options.MinNewTokens ?? 0;

    /// <summary>Whether no option changes logits.</summary>
    public bool IsEmpty => _repetitionPenalty == 1f && _noRepeatNgramSize == 0 && _minNewTokens == 0;

    /// <summary>Changes logits in place; a forbidden token's becomes negative infinity.</summary>
    /// <param name="logits">[V], or as many as <paramref name="ids"/>.</param>
    /// <param name="ids">The ids the logits are of; empty where they are of the full vocabulary, in order.</param>
    /// <param name="row">The row.</param>
    public void Apply(Span<float> logits, ReadOnlySpan<int> ids, DecodingRow row)
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
