using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>A tensor in a device's memory.</summary>
internal sealed class DeviceTensor : IDisposable
{
    private readonly OrtMemoryInfo _info;
    private readonly OrtMemoryAllocation _memory;
    private readonly TensorElementType _type;
    private readonly Action<DeviceTensor> _released;
    private readonly long _bytes;

    /// <param name="allocator">The device's allocator, which outlives this.</param>
    /// <param name="info">The device's memory.</param>
    /// <param name="type">The type of its elements.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="released">Is told when this is disposed.</param>
    public DeviceTensor(OrtAllocator allocator, OrtMemoryInfo info, TensorElementType type, long[] shape, Action<DeviceTensor> released)
    {
        _info = info;
        _released = released;
        _type = type;
        _bytes = Bytes(shape);
        if (_bytes > uint.MaxValue)
        {
            throw new InvalidOperationException(
                $"A device's memory is taken in pieces of up to 4 GB, and one of {_bytes >> 20} MB is needed: run fewer rows side by side.");
        }

        _memory = allocator.Allocate((uint)_bytes);
        try
        {
            Value = View(0, shape);
        }
        catch
        {
            _memory.Dispose();
            throw;
        }
    }

    /// <summary>The whole tensor.</summary>
    public OrtValue Value { get; }

    /// <summary>A part of it, that begins at element <paramref name="start"/>; the caller disposes it, before this.</summary>
    public OrtValue View(long start, params long[] shape)
    {
        long first = start * ElementBytes;
        long bytes = Bytes(shape);
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(checked(first + bytes), _bytes);
        return OrtValue.CreateTensorValueWithData(_info, _type, shape, checked((nint)(_memory.DangerousGetHandle() + first)), bytes);
    }

    public void Dispose()
    {
        Value.Dispose();
        _memory.Dispose();
        _released(this);
    }

    private int ElementBytes => _type switch
    {
        TensorElementType.Bool => sizeof(bool),
        TensorElementType.Int64 => sizeof(long),
        _ => sizeof(float),
    };

    private long Bytes(long[] shape) => shape.Aggregate((long)ElementBytes, (bytes, dimension) => checked(bytes * dimension));
}
