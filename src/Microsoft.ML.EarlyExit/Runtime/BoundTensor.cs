using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Views native memory as tensors that ONNX Runtime reads and writes in place.</summary>
internal static unsafe class BoundTensor
{
    public static OrtValue Floats(NativeBuffer buffer, params long[] shape) => Create<float>(buffer, 0, shape);

    /// <summary>A part of the buffer that begins at element <paramref name="start"/>.</summary>
    public static OrtValue FloatsAt(NativeBuffer buffer, long start, params long[] shape) => Create<float>(buffer, start, shape);

    /// <summary>As the others, by the type of the elements: float, int, long or bool.</summary>
    public static OrtValue Of<T>(NativeBuffer buffer, params long[] shape)
        where T : unmanaged => Create<T>(buffer, 0, shape);

    private static OrtValue Create<T>(NativeBuffer buffer, long start, long[] shape)
        where T : unmanaged
    {
        TensorElementType type =
            typeof(T) == typeof(float) ? TensorElementType.Float
            : typeof(T) == typeof(int) ? TensorElementType.Int32
            : typeof(T) == typeof(bool) ? TensorElementType.Bool : TensorElementType.Int64;
        long bytes = sizeof(T);
        foreach (long dimension in shape)
            bytes = checked(bytes * dimension);
        long first = checked(start * sizeof(T));
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(checked(first + bytes), buffer.Bytes);
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, checked((nint)(buffer.Address + first)), bytes);
    }
}
