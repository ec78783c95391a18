namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>
/// Keeps memory that the operating system gave page by page for the next who needs as much: every page that is new costs a fault and is cleared first, which
/// for the caches of a call is a good part of its time. What is kept the system may take back when it runs short. Thread-safe.
/// </summary>
/// <param name="mostBytes">The most that is kept, counted as addresses; what was not used for the longest goes first.</param>
internal sealed unsafe class PagePool(long mostBytes) : IDisposable
{
    // So many that the list never grows: memory comes back where nothing may fail.
    private const int MostKept = 512;

    private readonly Lock _lock = new();

    // The one that was returned last is at the end.
    private readonly List<(nint Address, long Bytes)> _kept = new(MostKept);
    private bool _isDisposed;

    /// <summary>A pool that keeps a sixteenth of the memory that the process may have.</summary>
    public PagePool()
        : this(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 16)
    {
    }

    // Memory of a model that is dropped without being disposed. Buffers, whose finalizers run after this one, then free theirs.
    ~PagePool() => Free();

    /// <summary>Bytes that are kept now.</summary>
    public long KeptBytes { get; private set; }

    /// <summary>Takes at least so many bytes out of the pool, whatever they hold.</summary>
    /// <returns>Whether there were any; not where they would be more than twice as many.</returns>
    public bool TryTake(long bytes, out nint address, out long length)
    {
        lock (_lock)
        {
            int found = -1;
            for (int index = _kept.Count - 1; index >= 0; index--)
            {
                if (_kept[index].Bytes >= bytes && _kept[index].Bytes / 2 <= bytes && (found < 0 || _kept[index].Bytes < _kept[found].Bytes))
                    found = index;
            }

            (address, length) = found < 0 ? default : _kept[found];
            if (found < 0)
                return false;
            _kept.RemoveAt(found);
            KeptBytes -= length;
            return true;
        }
    }

    /// <summary>Gives memory of <see cref="SystemPages"/> to the pool.</summary>
    public void Return(nint address, long bytes)
    {
        // System calls over many pages are made outside of the lock.
        bool isKept = bytes <= mostBytes && SystemPages.Offer((void*)address, bytes);
        while (true)
        {
            (nint Address, long Bytes) surplus;
            lock (_lock)
            {
                if (isKept && !_isDisposed && _kept.Count < MostKept && KeptBytes + bytes <= mostBytes)
                {
                    _kept.Add((address, bytes));
                    KeptBytes += bytes;
                    return;
                }

                if (!isKept || _isDisposed)
                    break;
                surplus = _kept[0];
                _kept.RemoveAt(0);
                KeptBytes -= surplus.Bytes;
            }

            SystemPages.Free((void*)surplus.Address, surplus.Bytes);
        }

        SystemPages.Free((void*)address, bytes);
    }

    /// <summary>Gives all back to the system, and what comes back later too.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach ((nint address, long bytes) in _kept)
                SystemPages.Free((void*)address, bytes);
            _kept.Clear();
            KeptBytes = 0;
        }
    }
}
