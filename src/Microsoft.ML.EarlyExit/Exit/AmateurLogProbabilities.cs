namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>ln q of an expert's tokens at an earlier layer, never below that of the smallest normal number.</summary>
/// <param name="logits">The earlier layer's logits.</param>
/// <param name="ids">Where the expert's tokens are among them; empty where they are at the same places.</param>
/// <param name="ofCut">ln q of a token that was not alive there.</param>
internal readonly ref struct AmateurLogProbabilities(LayerLogits logits, ReadOnlySpan<int> ids, double ofCut)
{
    /// <summary>ln of the smallest normal single-precision number: what a probability of 0 counts as.</summary>
    public static readonly double Smallest = Math.Log(1.17549435e-38);

    private readonly ReadOnlySpan<float> _logits = logits.Values;
    private readonly ReadOnlySpan<int> _ids = ids;
    private readonly double _logSumExp = logits.LogSumExp;

    /// <summary>ln q of the expert's token at an index.</summary>
    public double this[int index]
    {
        get
        {
            int at = _ids.IsEmpty ? index : _ids[index];
            return at < _logits.Length ? Math.Max(_logits[at] - _logSumExp, Smallest) : ofCut;
        }
    }
}
