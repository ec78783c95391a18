using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Views native memory as tensors that ONNX Runtime reads and writes in place.</summary>
internal static unsafe class BoundTensor
{
    public static OrtValue Floats(NativeBuffer buffer, params long[] shape) => Of<float>(buffer, shape);

    /// <summary>By the type of the elements: float, int, long or bool.</summary>
    public static OrtValue Of<T>(NativeBuffer buffer, params long[] shape)
        where T : unmanaged
    {
        TensorElementType type =
            typeof(T) == typeof(float) ? TensorElementType.Float
            : typeof(T) == typeof(int) ? TensorElementType.Int32
            : typeof(T) == typeof(bool) ? TensorElementType.Bool : TensorElementType.Int64;
        long bytes = sizeof(T);
        foreach (long dimension in shape)
            bytes = checked(bytes * dimension);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, buffer.Bytes);
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, buffer.Address, bytes);
    }
}
