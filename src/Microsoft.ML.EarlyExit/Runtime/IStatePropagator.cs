namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// One way of giving deeper layers the keys and values of tokens that exited before them: <see cref="StatePropagation"/>. No token can have exited before the
/// end of the first segment, so it is called from the second on.
/// </summary>
internal interface IStatePropagator : IDisposable
{
    /// <summary>Gives the layers of a segment what they lack of the slots' earlier tokens. The caches must have been made.</summary>
    void BringUp(int segment, ReadOnlySpan<int> slots);

    /// <summary>
    /// The same, and runs the segment for a new token of each slot; their hidden states are the block runner's first rows in that order, before and after.
    /// </summary>
    void Run(int segment, ReadOnlySpan<int> slots);

    /// <summary>Forgets what is bound: to be called before memory moves.</summary>
    void Unbind();
}
