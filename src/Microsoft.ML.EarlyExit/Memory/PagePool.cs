namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>
/// Keeps memory that the operating system gave page by page for the next who needs as much: every page that is new costs a fault and is cleared first, which for
/// the caches of a call takes a twentieth of its time or more. What is kept the system may take back when it runs short. Thread-safe.
/// </summary>
/// <param name="mostBytes">The most that is kept, counted as addresses; what was not used for the longest goes first.</param>
internal sealed unsafe class PagePool(long mostBytes) : IDisposable
{
    private readonly Lock _lock = new();

    // The one that was returned last is at the end.
    private readonly List<(nint Address, long Bytes)> _kept = [];
    private bool _isDisposed;

    /// <summary>A pool that keeps a sixteenth of the memory that the process may have.</summary>
    public PagePool()
        : this(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 16)
    {
    }

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
        lock (_lock)
        {
            if (_isDisposed || bytes > mostBytes)
            {
                SystemPages.Free((void*)address, bytes);
                return;
            }

            SystemPages.Offer((void*)address, bytes);
            _kept.Add((address, bytes));
            KeptBytes += bytes;
            int surplus = 0;
            for (; KeptBytes > mostBytes; surplus++)
                Free(_kept[surplus]);
            _kept.RemoveRange(0, surplus);
        }
    }

    /// <summary>Gives all back to the system, and what comes back later too.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach ((nint Address, long Bytes) one in _kept)
                Free(one);
            _kept.Clear();
        }
    }

    private void Free((nint Address, long Bytes) one)
    {
        SystemPages.Free((void*)one.Address, one.Bytes);
        KeptBytes -= one.Bytes;
    }
}
