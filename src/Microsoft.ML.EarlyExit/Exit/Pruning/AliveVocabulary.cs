namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The tokens that are still alive for one row's current token, and their rows of the LM head, gathered once: whole at first, then a list of which every cut keeps
/// the beginning.
/// </summary>
/// <param name="head">The head.</param>
/// <param name="scratch">What the rows of a session share.</param>
/// <param name="mostAlive">How many tokens a cut leaves at most; memory is made for so many when the first is made.</param>
internal sealed unsafe class AliveVocabulary(LanguageModelHead head, EvaluationScratch scratch, int mostAlive) : IDisposable
{
    private NativeBuffer? _ranking;
    private NativeBuffer? _rows;
    private int[] _ids = [];
    private int _listed;
    private int _gathered;

    /// <summary>Whether nothing was cut yet.</summary>
    public bool IsWhole { get; private set; } = true;

    /// <summary>How many tokens are alive.</summary>
    public int Count { get; private set; } = head.VocabularySize;

    /// <summary>The alive tokens' ids, in the order of the list; not while the vocabulary is whole.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    /// <summary>Begins another token.</summary>
    public void Begin()
    {
        IsWhole = true;
        Count = head.VocabularySize;
        _gathered = 0;
    }

    /// <summary>Keeps the logits by which all later cuts rank.</summary>
    public void RankBy(ReadOnlySpan<float> logits)
    {
        _ranking ??= new NativeBuffer((long)head.VocabularySize * sizeof(float));
        logits.CopyTo(_ranking.Span<float>(0, head.VocabularySize));
    }

    /// <summary>Lets only the best of those alive live on; all of them where they are no more than that.</summary>
    /// <param name="count">How many.</param>
    /// <param name="isFinal">Whether no later cut will be smaller, so that their order does not matter.</param>
    public void Cut(int count, bool isFinal)
    {
        if (count >= Count)
            return;
        if (IsWhole)
        {
            List(count);
            if (!isFinal)
                TopK.Rank(_ranking!.Span<float>(0, head.VocabularySize), _ids.AsSpan(0, count), scratch.RankingKeys.AsSpan(0, count));
        }

        Count = count;
    }

    /// <summary>Lists the best tokens by rising id, as the published code does.</summary>
    public void List(int count)
    {
        // For as many as there can ever be: adaptive counts differ from token to token, and none is to allocate.
        if (_ids.Length < count)
            _ids = new int[Math.Max(count, mostAlive)];
        TopK.Select(_ranking!.Span<float>(0, head.VocabularySize), _ids.AsSpan(0, count));
        IsWhole = false;
        Count = _listed = count;
    }

    /// <summary>Keeps the beginning of the list; more than before where the number is larger, as in the published code.</summary>
    public void Keep(int count) => Count = Math.Clamp(count, 0, _listed);

    /// <summary>The head's rows of the alive tokens, one after the other.</summary>
    public float* Rows()
    {
        if (_rows is null || _rows.Bytes < (long)Count * head.Width * sizeof(float))
        {
            _rows?.Dispose();
            _rows = new NativeBuffer((long)Math.Max(Count, mostAlive) * head.Width * sizeof(float));
            _gathered = 0;
        }

        for (; _gathered < Count; _gathered++)
            head.CopyRow(_ids[_gathered], _rows.Span<float>((long)_gathered * head.Width, head.Width));
        return (float*)_rows.Address;
    }

    public void Dispose()
    {
        _ranking?.Dispose();
        _rows?.Dispose();
    }
}
