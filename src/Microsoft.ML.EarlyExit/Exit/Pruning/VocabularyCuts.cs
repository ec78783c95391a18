namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>A plan's pruning at work on tokens: the first logits rank the vocabulary, and every later layer keeps the best of those alive.</summary>
/// <param name="pruning">The pruning.</param>
/// <param name="firstLayer">The first layer after which a confidence is computed, j.</param>
/// <param name="layerCount">L.</param>
/// <param name="vocabularySize">How many tokens there are.</param>
internal class VocabularyCuts(VocabularyPruning pruning, int firstLayer, int layerCount, int vocabularySize)
{
    public VocabularyPruning Pruning { get; } = pruning;

    /// <summary>The most tokens a cut can leave alive; the vocabulary's size where nothing is cut.</summary>
    public int MostAlive => Math.Min(VocabularySize, Math.Max(FirstSize, CountAt(firstLayer + 1, previousConfidence: 0)));

    /// <summary>Whether what is alive counts at the last layer too where that chooses from the whole vocabulary.</summary>
    public virtual bool IsReadAtLastLayer => false;

    private protected int VocabularySize => vocabularySize;

    /// <summary>How many tokens the first cut starts from.</summary>
    private protected int FirstSize => Pruning.FirstSize(firstLayer, layerCount);

    /// <summary>How many of the best tokens have to be ranked by the first logits of a token, given its confidence; 0 where none are.</summary>
    /// <param name="next">The next layer that is looked at.</param>
    /// <param name="confidence">The confidence.</param>
    public int RankedBefore(int next, float confidence) => Pruning.Prunes ? Listed(next, confidence) : 0;

    /// <summary>Cuts a token's vocabulary for the next layer.</summary>
    /// <param name="alive">The vocabulary.</param>
    /// <param name="isFirst">Whether this confidence is the token's first.</param>
    /// <param name="next">The next layer that is looked at.</param>
    /// <param name="logits">The token's logits.</param>
    /// <param name="confidence">Its confidence.</param>
    public void Cut(AliveVocabulary alive, bool isFirst, int next, ReadOnlySpan<float> logits, float confidence)
    {
        if (!Pruning.Prunes)
            return;
        if (isFirst)
            alive.RankBy(logits);
        Cut(alive, next, confidence);
    }

    /// <summary>What is wrong with what the cuts have left, where no confidence can be computed of it; null where nothing is.</summary>
    /// <param name="alive">The vocabulary.</param>
    /// <param name="position">The token's position in the output, from 0.</param>
    /// <param name="layer">The layer the token has reached.</param>
    public virtual string? FindProblem(AliveVocabulary alive, int position, int layer) => null;

    private protected virtual void Cut(AliveVocabulary alive, int next, float confidence) =>
        alive.Cut(CountAt(next, confidence), isFinal: Pruning.CutsOnce);

    /// <summary>How many tokens the first cut lists, given the confidence at j.</summary>
    private protected virtual int Listed(int next, float confidence) => CountAt(next, confidence);

    /// <summary>How many tokens may be alive at a layer that is looked at, given the confidence at the one that was looked at before.</summary>
    private protected int CountAt(int layer, float previousConfidence) => Pruning.CountAt(layer, firstLayer, layerCount, previousConfidence);
}
