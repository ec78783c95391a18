namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>A plan's pruning at work on tokens: the first logits rank the vocabulary, and every later layer keeps the best of those alive.</summary>
/// <param name="pruning">The pruning.</param>
/// <param name="firstLayer">The first layer after which a confidence is computed, j.</param>
/// <param name="layerCount">L.</param>
/// <param name="vocabularySize">How many tokens there are.</param>
/// <param name="next">For every layer the next one whose logits are computed.</param>
internal class VocabularyCuts(VocabularyPruning pruning, int firstLayer, int layerCount, int vocabularySize, IReadOnlyList<int> next)
{
    public VocabularyPruning Pruning { get; } = pruning;

    /// <summary>The most tokens a cut can leave alive; the vocabulary's size where nothing is cut.</summary>
    public int MostAlive => Math.Min(VocabularySize, Math.Max(FirstSize, CountAfter(firstLayer, confidence: 0)));

    private protected int VocabularySize => vocabularySize;

    /// <summary>How many tokens the first cut starts from.</summary>
    private protected int FirstSize => Pruning.FirstSize(firstLayer, layerCount);

    /// <summary>How many of the best tokens have to be ranked by the logits of a layer, given its confidence; 0 where none are.</summary>
    public int RankedAt(int layer, float confidence) => Pruning.Prunes && layer == firstLayer ? Listed(confidence) : 0;

    /// <summary>Cuts a token's vocabulary for the next layer.</summary>
    /// <param name="alive">The vocabulary.</param>
    /// <param name="layer">The layer the token has reached.</param>
    /// <param name="logits">Its logits there.</param>
    /// <param name="confidence">Its confidence there.</param>
    public void Cut(AliveVocabulary alive, int layer, ReadOnlySpan<float> logits, float confidence)
    {
        if (!Pruning.Prunes)
            return;
        if (layer == firstLayer)
            alive.RankBy(logits);
        Cut(alive, layer, confidence);
    }

    /// <summary>What is wrong with what the cuts have left, where no confidence can be computed of it; null where nothing is.</summary>
    /// <param name="alive">The vocabulary.</param>
    /// <param name="position">The token's position in the output, from 0.</param>
    /// <param name="layer">The layer the token has reached.</param>
    public virtual string? FindProblem(AliveVocabulary alive, int position, int layer) => null;

    private protected virtual void Cut(AliveVocabulary alive, int layer, float confidence) =>
        alive.Cut(CountAfter(layer, confidence), isFinal: Pruning.CutsOnce);

    /// <summary>How many tokens the first cut lists, given the confidence at j.</summary>
    private protected virtual int Listed(float confidence) => CountAfter(firstLayer, confidence);

    /// <summary>How many tokens may be alive at the next layer that is looked at after one, given the confidence there.</summary>
    private protected int CountAfter(int layer, float confidence) => Pruning.CountAt(next[layer], firstLayer, layerCount, confidence);
}
