using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Views native memory as tensors that ONNX Runtime reads and writes in place.</summary>
internal static unsafe class BoundTensor
{
    public static OrtValue Floats(NativeBuffer buffer, params long[] shape) => Create(buffer, 0, TensorElementType.Float, sizeof(float), shape);

    /// <summary>A part of the buffer that begins at element <paramref name="start"/>.</summary>
    public static OrtValue FloatsAt(NativeBuffer buffer, long start, params long[] shape) =>
        Create(buffer, start, TensorElementType.Float, sizeof(float), shape);

    public static OrtValue Int32(NativeBuffer buffer, params long[] shape) => Create(buffer, 0, TensorElementType.Int32, sizeof(int), shape);

    public static OrtValue Int64(NativeBuffer buffer, params long[] shape) => Create(buffer, 0, TensorElementType.Int64, sizeof(long), shape);

    /// <summary>As the others, by the type of the elements: float, int or long.</summary>
    public static OrtValue Of<T>(NativeBuffer buffer, params long[] shape)
        where T : unmanaged
    {
        TensorElementType type =
            typeof(T) == typeof(float) ? TensorElementType.Float : typeof(T) == typeof(int) ? TensorElementType.Int32 : TensorElementType.Int64;
        return Create(buffer, 0, type, sizeof(T), shape);
    }

    private static OrtValue Create(NativeBuffer buffer, long start, TensorElementType type, int elementBytes, long[] shape)
    {
        long bytes = elementBytes;
        foreach (long dimension in shape)
            bytes = checked(bytes * dimension);
        long first = checked(start * elementBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(checked(first + bytes), buffer.Bytes);
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, checked((nint)(buffer.Address + first)), bytes);
    }
}
