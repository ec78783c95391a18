namespace Microsoft.ML.EarlyExit.Head;

/// <summary>What of a head was multiplied again after its screen, by layer, since the model was loaded. Thread-safe.</summary>
internal sealed class ScreenCounts(int layerCount)
{
    private readonly long[] _products = new long[layerCount + 1];
    private readonly long[] _rows = new long[layerCount + 1];

    /// <summary>Adds a product after a layer, from 1.</summary>
    public void AddProduct(int layer) => Interlocked.Increment(ref _products[layer]);

    /// <summary>Adds rows that were multiplied again; all where the whole head was.</summary>
    public void AddRows(int layer, int rows) => Interlocked.Add(ref _rows[layer], rows);

    /// <summary>Products after a layer, and rows that were multiplied again in them.</summary>
    public (long Products, long Rows) After(int layer) => (Interlocked.Read(ref _products[layer]), Interlocked.Read(ref _rows[layer]));
}
