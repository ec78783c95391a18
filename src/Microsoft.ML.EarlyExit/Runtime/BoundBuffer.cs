using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Native memory together with the tensors that ONNX Runtime sees of it; both end with it.</summary>
/// <typeparam name="T">float, long or bool.</typeparam>
internal sealed class BoundBuffer<T> : IDisposable
    where T : unmanaged
{
    private readonly NativeBuffer _buffer;
    private readonly long[] _shape;
    private OrtValue?[]? _firsts;

    /// <summary>A zeroed tensor of the given shape.</summary>
    public unsafe BoundBuffer(params long[] shape)
    {
        _shape = shape;
        Count = shape.Aggregate(1L, (count, dimension) => checked(count * dimension));
        _buffer = new NativeBuffer(checked(Count * sizeof(T)));
        View = BoundTensor.Of<T>(_buffer, shape);
    }

    /// <summary>Elements of the whole tensor.</summary>
    public long Count { get; }

    /// <summary>The whole tensor.</summary>
    public OrtValue View { get; }

    /// <summary>All elements.</summary>
    public Span<T> Values => _buffer.Span<T>(0, checked((int)Count));

    /// <summary>The tensor's first <paramref name="count"/> rows.</summary>
    public OrtValue First(int count) => (_firsts ??= new OrtValue?[_shape[0] + 1])[count] ??= BoundTensor.Of<T>(_buffer, [count, .. _shape[1..]]);

    /// <summary>The memory as a tensor of another shape, no larger; the caller disposes it, before this.</summary>
    public OrtValue Shaped(params long[] shape) => BoundTensor.Of<T>(_buffer, shape);

    /// <summary>Elements from <paramref name="start"/>.</summary>
    public Span<T> Span(long start, int length) => _buffer.Span<T>(start, length);

    /// <summary>Elements of a tensor of floats, as memory that others may keep.</summary>
    public Memory<float> Floats(long start, int length) => _buffer.Floats(start, length);

    public void Dispose()
    {
        foreach (OrtValue? view in _firsts ?? [])
            view?.Dispose();
        View.Dispose();
        _buffer.Dispose();
    }
}
