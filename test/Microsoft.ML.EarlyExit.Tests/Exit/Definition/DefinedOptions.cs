namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The options that change the choice of a token, by their definitions: repetition penalty, then no-repeat n-grams, then minimum length.</summary>
internal sealed record DefinedOptions(float Penalty = 1, int NgramSize = 0, int MinimumLength = 0, int EndOfSequence = 1)
{
    /// <summary>Changes scores of all ids; -∞ forbids. The sequence has the start token first.</summary>
    public double[] Apply(double[] scores, IReadOnlyList<int> sequence)
    {
        foreach (int id in sequence.Distinct())
            scores[id] = scores[id] < 0 ? scores[id] * Penalty : scores[id] / Penalty;
        if (NgramSize > 0)
        {
            int[] last = [.. sequence.TakeLast(NgramSize - 1)];
            for (int start = 0; start + NgramSize <= sequence.Count; start++)
            {
                if (sequence.Skip(start).Take(NgramSize - 1).SequenceEqual(last))
                    scores[sequence[start + NgramSize - 1]] = double.NegativeInfinity;
            }
        }

        if (sequence.Count - 1 < MinimumLength)
            scores[EndOfSequence] = double.NegativeInfinity;
        return scores;
    }

    public TextGenerationOptions ToOptions(ExitPolicy policy, int maxNewTokens) => new()
    {
        Exit = policy,
        MaxNewTokens = maxNewTokens,
        RepetitionPenalty = Penalty,
        NoRepeatNgramSize = NgramSize,
        MinNewTokens = MinimumLength,
        Trace = true,
    };
}
