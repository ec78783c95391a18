namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Some queries of one head, with what they attend to.</summary>
internal unsafe struct SequenceAttentionPart
{
    /// <summary>[queries, <see cref="Width"/>], rows <see cref="QueryStride"/> apart.</summary>
    public float* Queries;

    /// <summary>[keys, width], rows <see cref="KeyStride"/> apart.</summary>
    public float* Keys;

    /// <summary>Like the keys.</summary>
    public float* Values;

    /// <summary>[queries, keys], rows <see cref="BiasStride"/> apart, added to the scores; null for none.</summary>
    public float* Bias;

    /// <summary>Like the queries.</summary>
    public float* Output;

    public int QueryCount;
    public int KeyCount;
    public int Width;
    public int QueryStride;
    public int KeyStride;

    /// <summary>0 where all queries have the same bias.</summary>
    public int BiasStride;
}
