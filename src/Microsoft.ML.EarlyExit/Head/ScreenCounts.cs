namespace Microsoft.ML.EarlyExit.Head;

/// <summary>How many of a head's rows were multiplied again after its screen, by layer, since the model was loaded. Thread-safe.</summary>
internal sealed class ScreenCounts(int layerCount)
{
    private readonly long[] _estimated = new long[layerCount + 1];
    private readonly long[] _rows = new long[layerCount + 1];

    /// <summary>Adds estimates of so many logits after a layer, from 1.</summary>
    public void AddProduct(int layer, int logits) => Interlocked.Add(ref _estimated[layer], logits);

    /// <summary>Adds rows that were multiplied again; all where the whole head was.</summary>
    public void AddRows(int layer, int rows) => Interlocked.Add(ref _rows[layer], rows);

    /// <summary>Logits that were estimated after a layer, and how many of their rows were multiplied again.</summary>
    public (long Estimated, long Again) After(int layer) => (Interlocked.Read(ref _estimated[layer]), Interlocked.Read(ref _rows[layer]));
}
