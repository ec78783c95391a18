namespace Microsoft.ML.EarlyExit.Model;

/// <summary>How many weights the matrices of a T5 have.</summary>
/// <param name="configuration">Its sizes.</param>
/// <param name="headWidth">The width of an attention head: the configuration's own, or that of the graphs, which is padded.</param>
internal readonly struct MatrixSizes(T5Configuration configuration, int headWidth)
{
    /// <summary>One projection of queries, keys, values or outputs.</summary>
    public long Projection => (long)configuration.ModelDimension * configuration.HeadCount * headWidth;

    /// <summary>One layer of attention.</summary>
    public long Attention => 4 * Projection;

    /// <summary>One feed-forward layer.</summary>
    public long FeedForward => (configuration.GatedFeedForward ? 3L : 2L) * configuration.ModelDimension * configuration.FeedForwardDimension;

    /// <summary>The embedding, and an LM head of its own.</summary>
    public long Embedding => (long)configuration.VocabularySize * configuration.ModelDimension;

    /// <summary>All layers of encoder and decoder.</summary>
    public long Layers =>
        (configuration.EncoderLayerCount * (Attention + FeedForward)) + (configuration.DecoderLayerCount * ((2 * Attention) + FeedForward));
}
