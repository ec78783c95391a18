namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Native memory that is taken piece by piece and released together. For one thread at a time.</summary>
internal sealed class NativeArena : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];

    /// <summary>Zeroed floats that live as long as the arena.</summary>
    public Memory<float> Floats(int count)
    {
        var buffer = new NativeBuffer((long)count * sizeof(float));
        _buffers.Add(buffer);
        return buffer.Floats(0, count);
    }

    public void Dispose()
    {
        foreach (NativeBuffer buffer in _buffers)
            buffer.Dispose();
    }
}
