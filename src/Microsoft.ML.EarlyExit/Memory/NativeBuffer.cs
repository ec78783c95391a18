using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Memory outside the managed heap, aligned for vectors, that ONNX Runtime may keep pointers to.</summary>
internal sealed unsafe class NativeBuffer : SafeHandle
{
    private const int Alignment = 64;

    // Below, whole pages cost more than they save.
    private const long LeastSparse = 1 << 20;

    private static long s_liveBytes;

    private readonly long _bytes;
    private readonly void* _allocated;
    private readonly long _mappedBytes;
    private readonly PagePool? _pool;
    private NativeFloats? _floats;

    /// <summary>A buffer of zeros.</summary>
    public NativeBuffer(long bytes)
        : base(0, ownsHandle: true)
    {
        _bytes = bytes;
        _allocated = NativeMemory.AllocZeroed(checked((nuint)bytes + Alignment));
        SetHandle(((nint)_allocated + Alignment - 1) & -Alignment);
        Interlocked.Add(ref s_liveBytes, bytes);
    }

    private NativeBuffer(long bytes, nint mapped, long mappedBytes, PagePool? pool)
        : base(0, ownsHandle: true)
    {
        _bytes = bytes;
        _mappedBytes = mappedBytes;
        _pool = pool;
        SetHandle(mapped);
        Interlocked.Add(ref s_liveBytes, bytes);
    }

    /// <summary>Bytes of all buffers not yet released: what a test of leaks looks at.</summary>
    public static long LiveBytes => Interlocked.Read(ref s_liveBytes);

    public override bool IsInvalid => handle == 0;

    public long Bytes => _bytes;

    public nint Address => handle;

    /// <summary>A buffer much of which may never be written: of that it takes addresses, and no memory where the system can help it.</summary>
    /// <param name="bytes">Its size.</param>
    /// <param name="pool">Where it may come from, with what it then holds, and goes when released; without, it holds zeros.</param>
    public static NativeBuffer Sparse(long bytes, PagePool? pool = null)
    {
        if (bytes < LeastSparse)
            return new NativeBuffer(bytes);
        if (pool is not null && pool.TryTake(bytes, out nint address, out long length))
            return new NativeBuffer(bytes, address, length, pool);
        void* mapped = SystemPages.TryReserve(bytes);
        return mapped is null ? new NativeBuffer(bytes) : new NativeBuffer(bytes, (nint)mapped, bytes, pool);
    }

    /// <summary>Elements of the buffer from <paramref name="start"/>, both counted in <typeparamref name="T"/>.</summary>
    public Span<T> Span<T>(long start, int length)
        where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((start + length) * sizeof(T), _bytes);
        return new Span<T>((T*)handle + start, length);
    }

    /// <summary>Gives whole pages back to the system, where it can take them; the content is lost, and the memory can be written again.</summary>
    public void Discard() => MappedPages.Release((void*)handle, _bytes);

    /// <summary>Floats of the buffer from <paramref name="start"/>, as memory that others may keep.</summary>
    public Memory<float> Floats(long start, int length)
    {
        _ = Span<float>(start, length);

        // One object serves all but what lies beyond the reach of an int.
        if (start + length > int.MaxValue)
            return new NativeFloats(this, start, length).Memory;
        _floats ??= new NativeFloats(this, 0, (int)Math.Min(_bytes / sizeof(float), int.MaxValue));
        return _floats.Memory.Slice((int)start, length);
    }

    protected override bool ReleaseHandle()
    {
        Interlocked.Add(ref s_liveBytes, -_bytes);
        if (_allocated is not null)
            NativeMemory.Free(_allocated);
        else if (_pool is not null)
            _pool.Return(handle, _mappedBytes);
        else
            SystemPages.Free((void*)handle, _mappedBytes);
        return true;
    }
}
