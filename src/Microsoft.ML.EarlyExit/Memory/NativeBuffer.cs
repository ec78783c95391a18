using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Zeroed memory outside the managed heap, aligned for vectors, that ONNX Runtime may keep pointers to.</summary>
internal sealed unsafe class NativeBuffer : SafeHandle
{
    private const int Alignment = 64;

    // Below, whole pages cost more than they save.
    private const long LeastSparse = 1 << 20;

    private static long s_liveBytes;

    private readonly long _bytes;
    private readonly void* _allocated;
    private NativeFloats? _floats;

    public NativeBuffer(long bytes)
        : this(bytes, mapped: null)
    {
    }

    private NativeBuffer(long bytes, void* mapped)
        : base(0, ownsHandle: true)
    {
        _bytes = bytes;
        if (mapped is null)
            _allocated = NativeMemory.AllocZeroed(checked((nuint)bytes + Alignment));
        SetHandle(mapped is null ? ((nint)_allocated + Alignment - 1) & -Alignment : (nint)mapped);
        Interlocked.Add(ref s_liveBytes, bytes);
    }

    /// <summary>Bytes of all buffers not yet released: what a test of leaks looks at.</summary>
    public static long LiveBytes => Interlocked.Read(ref s_liveBytes);

    public override bool IsInvalid => handle == 0;

    public long Bytes => _bytes;

    public nint Address => handle;

    /// <summary>A buffer much of which may never be written: of that it takes addresses, and no memory where the system can help it.</summary>
    public static NativeBuffer Sparse(long bytes) => new(bytes, bytes >= LeastSparse ? SystemPages.TryReserve(bytes) : null);

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
        if (_allocated is null)
            SystemPages.Free((void*)handle, _bytes);
        else
            NativeMemory.Free(_allocated);
        Interlocked.Add(ref s_liveBytes, -_bytes);
        return true;
    }
}
