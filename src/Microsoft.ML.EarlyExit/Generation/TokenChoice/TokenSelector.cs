using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Generation.TokenChoice;

/// <summary>Greedy choice of a token: the likeliest after the rules that change logits.</summary>
internal sealed class TokenSelector : IDisposable
{
    /// <summary>No token can be chosen: the logits hold a NaN or an infinity.</summary>
    public const int Invalid = -1;

    /// <summary>Every token is forbidden.</summary>
    public const int Forbidden = -2;

    private readonly LogitRules _rules;
    private readonly NativeBuffer _scores;

    public TokenSelector(LogitRules rules, int vocabularySize)
    {
        _rules = rules;
        _scores = new NativeBuffer((long)vocabularySize * sizeof(float));
    }

    /// <summary>
    /// Chooses a row's token at the layer it has reached, by its logits or, where the confidence measure chooses, by its scores; neither is changed.
    /// </summary>
    /// <returns>The id, the lowest of equals; <see cref="Invalid"/>; or <see cref="Forbidden"/>.</returns>
    public int Choose(TokenState state, DecodingRow row, bool byScores)
    {
        Span<float> logits = state.Logits.Values;
        ReadOnlySpan<int> ids = state.Logits.IsFull ? [] : state.Alive.Ids;
        Span<float> scores = _scores.Span<float>(0, logits.Length);
        if (byScores && state.TryGetLogScores(scores))
            return Choose(scores, ids, row);
        if (_rules.IsEmpty)
            return Choose(logits, ids, row);
        logits.CopyTo(scores);
        return Choose(scores, ids, row);
    }

    /// <summary>Chooses from logits, which the rules overwrite.</summary>
    /// <param name="logits">[V], or as many as <paramref name="ids"/>.</param>
    /// <param name="ids">The ids the logits are of; empty where they are of the full vocabulary, in order.</param>
    /// <param name="row">The row.</param>
    /// <returns>As the other.</returns>
    public int Choose(Span<float> logits, ReadOnlySpan<int> ids, DecodingRow row)
    {
        int best = LogitScan.ArgMax(logits);
        if (best < 0)
            return Invalid;
        if (!_rules.IsEmpty)
        {
            _rules.Apply(logits, ids, row);
            best = TensorPrimitives.IndexOfMax<float>(logits);
            if (float.IsNegativeInfinity(logits[best]))
                return Forbidden;
        }

        return ids.IsEmpty ? best : LowestOfEquals(logits, ids, best);
    }

    /// <summary>What is chosen in the end where nothing is allowed: the first id of the vocabulary, as in Hugging Face.</summary>
    public static int Allowed(int token) => token == Forbidden ? 0 : token;

    public void Dispose() => _scores.Dispose();

    /// <summary>The alive tokens are ordered by another layer's logits.</summary>
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
}
