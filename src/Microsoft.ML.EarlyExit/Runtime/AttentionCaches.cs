namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>One layer's caches of all slots; see <see cref="KeyValueCache"/>.</summary>
internal unsafe struct AttentionCaches
{
    public float* SelfKeys;
    public float* SelfValues;
    public float* CrossKeys;
    public float* CrossValues;
}
