namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>One row's shallow tokens beside the full model's, for <see cref="ThresholdLearning"/>.</summary>
internal sealed class TokenComparisons
{
    private readonly List<(int Token, float Confidence)> _pending = [];
    private readonly List<(float Confidence, bool Agreed)> _pairs = [];

    /// <summary>Confidences of shallow tokens, and whether the full model chose the same.</summary>
    public IReadOnlyList<(float Confidence, bool Agreed)> Pairs => _pairs;

    /// <summary>Shallow tokens since the last one that ran all layers, the one at hand included.</summary>
    public int PendingCount => _pending.Count;

    /// <summary>Notes a shallow token and its confidence, until the full model's is known.</summary>
    public void Note(int token, float confidence) => _pending.Add((token, confidence));

    /// <summary>The full model's token for one of the noted ones.</summary>
    public void Add(int index, int token) => _pairs.Add((_pending[index].Confidence, _pending[index].Token == token));

    /// <summary>Forgets the noted tokens: those the full model has not seen by now it never will.</summary>
    public void End() => _pending.Clear();
}
