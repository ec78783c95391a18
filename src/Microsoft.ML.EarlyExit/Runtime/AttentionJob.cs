namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// What <see cref="AttentionOperator"/> needs beside its input: which tokens of which rows lie packed one after the other, and the caches they attend over.
/// Rows bring as many tokens as each has; all pointers are into native memory.
/// </summary>
internal unsafe struct AttentionJob
{
    public AttentionPart* Parts;

    /// <summary>The caches of every layer, from layer 1 on.</summary>
    public AttentionCaches* Layers;

    /// <summary>By head, the bias of <see cref="BiasLength"/> distances, the farthest first.</summary>
    public float* Bias;

    public int PartCount;
    public int TokenCount;
    public int HeadCount;
    public int HeadWidth;
    public int BiasLength;

    /// <summary>Entries of a slot's self-attention cache.</summary>
    public int SelfEntries;

    /// <summary>Entries of a slot's cross-attention cache.</summary>
    public int CrossEntries;
}
