using System.Buffers;

namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Floats of a native buffer as memory, for code that knows nothing of native memory; what it hands out keeps the buffer from being
/// collected.</summary>
internal sealed unsafe class NativeFloats(NativeBuffer buffer, long start, int length) : MemoryManager<float>
{
    public override Span<float> GetSpan() => new((float*)buffer.Address + start, length);

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)length);
        return new MemoryHandle((float*)buffer.Address + start + elementIndex);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
