namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>
/// The tokens that are still alive for one row's current token: all at first, then a list of which every cut keeps the beginning.
/// </summary>
/// <param name="vocabularySize">How many tokens there are.</param>
/// <param name="scratch">What the rows of a session share.</param>
/// <param name="mostAlive">How many tokens a cut leaves at most; memory is made for so many when the first is made.</param>
/// <param name="allocate">Makes memory for the logits that rank, when the first are kept.</param>
internal sealed class AliveVocabulary(int vocabularySize, EvaluationScratch scratch, int mostAlive, Func<int, Memory<float>> allocate)
{
    private Memory<float> _ranking;
    private int[] _ids = [];
    private int _listed;
    private int _count;

    /// <summary>Whether nothing was cut yet.</summary>
    public bool IsFull { get; private set; } = true;

    /// <summary>How many tokens are alive.</summary>
    public int Count => IsFull ? vocabularySize : _count;

    /// <summary>How many tokens a cut leaves at most.</summary>
    public int Most => mostAlive;

    /// <summary>The alive tokens' ids, in the order of the list; not while the vocabulary is full.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    /// <summary>Begins another token.</summary>
    public void Begin() => IsFull = true;

    /// <summary>Keeps the logits by which all later cuts rank.</summary>
    public void RankBy(ReadOnlySpan<float> logits)
    {
        if (_ranking.IsEmpty)
            _ranking = allocate(vocabularySize);
        logits.CopyTo(_ranking.Span);
    }

    /// <summary>Lets only the best of those alive live on; all of them where they are no more than that.</summary>
    /// <param name="count">How many.</param>
    /// <param name="isFinal">Whether no later cut will be smaller, so that their order does not matter.</param>
    public void Cut(int count, bool isFinal)
    {
        if (count >= Count)
            return;
        if (IsFull)
        {
            List(count);
            if (!isFinal)
                TopK.Rank(_ranking.Span, _ids.AsSpan(0, count), scratch.RankingKeys.AsSpan(0, count));
        }

        _count = count;
    }

    /// <summary>Lists the best tokens by rising id, as the published code does.</summary>
    public void List(int count)
    {
        // For as many as there can ever be: adaptive counts differ from token to token, and none is to allocate.
        if (_ids.Length < count)
            _ids = new int[Math.Max(count, mostAlive)];
        TopK.Select(_ranking.Span, _ids.AsSpan(0, count));
        IsFull = false;
        _count = _listed = count;
    }

    /// <summary>Keeps the beginning of the list; more than before where the number is larger, as in the published code.</summary>
    public void Keep(int count) => _count = Math.Clamp(count, 0, _listed);
}
