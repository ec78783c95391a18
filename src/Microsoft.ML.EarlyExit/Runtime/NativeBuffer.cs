using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>Zeroed memory outside the managed heap, aligned for vectors, that ONNX Runtime may keep pointers to.</summary>
internal sealed unsafe class NativeBuffer : SafeHandle
{
    private const nuint Alignment = 64;

    private static long s_liveBytes;

    private readonly long _bytes;

    public NativeBuffer(long bytes)
        : base(0, ownsHandle: true)
    {
        void* memory = NativeMemory.AlignedAlloc(checked((nuint)Math.Max(bytes, 1)), Alignment);
        NativeMemory.Clear(memory, (nuint)bytes);
        _bytes = bytes;
        SetHandle((nint)memory);
        Interlocked.Add(ref s_liveBytes, bytes);
    }

    /// <summary>Bytes of all buffers not yet released: what a test of leaks looks at.</summary>
    public static long LiveBytes => Interlocked.Read(ref s_liveBytes);

    public override bool IsInvalid => handle == 0;

    public long Bytes => _bytes;

    public nint Address => handle;

    /// <summary>Elements of the buffer from <paramref name="start"/>, both counted in <typeparamref name="T"/>.</summary>
    public Span<T> Span<T>(long start, int length)
        where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((start + length) * sizeof(T), _bytes);
        return new Span<T>((T*)handle + start, length);
    }

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        Interlocked.Add(ref s_liveBytes, -_bytes);
        return true;
    }
}
