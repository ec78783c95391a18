using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Where in the caches the keys and values of a run's positions go, as the graphs of <see cref="DeviceGraph"/> take it.</summary>
internal sealed class CacheEntries(int positions, int heads) : IDisposable
{
    private readonly BoundBuffer<long> _entries = new(positions, heads, 3);

    /// <summary>Sets a position's entry of every head; false where it was that already.</summary>
    public bool Set(int position, int slot, int entry)
    {
        Span<long> entries = _entries.Span((long)position * heads * 3, heads * 3);
        if (entries[^3] == slot && entries[^2] == heads - 1 && entries[^1] == entry)
            return false;
        for (int head = 0; head < heads; head++)
        {
            entries[head * 3] = slot;
            entries[(head * 3) + 1] = head;
            entries[(head * 3) + 2] = entry;
        }

        return true;
    }

    /// <summary>The first positions': [count, heads, 3].</summary>
    public OrtValue First(int count) => _entries.First(count);

    /// <summary>The first positions' in another shape; the caller disposes it, before this.</summary>
    public OrtValue Shaped(params long[] shape) => _entries.Shaped(shape);

    public void Dispose() => _entries.Dispose();
}
