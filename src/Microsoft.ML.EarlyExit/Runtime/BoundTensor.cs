using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>Views native memory as tensors that ONNX Runtime reads and writes in place.</summary>
internal static class BoundTensor
{
    public static OrtValue Floats(NativeBuffer buffer, params long[] shape) => Create(buffer, TensorElementType.Float, sizeof(float), shape);

    public static OrtValue Int32(NativeBuffer buffer, params long[] shape) => Create(buffer, TensorElementType.Int32, sizeof(int), shape);

    public static OrtValue Int64(NativeBuffer buffer, params long[] shape) => Create(buffer, TensorElementType.Int64, sizeof(long), shape);

    private static OrtValue Create(NativeBuffer buffer, TensorElementType type, int elementBytes, long[] shape)
    {
        long bytes = elementBytes;
        foreach (long dimension in shape)
            bytes = checked(bytes * dimension);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, buffer.Bytes);
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, buffer.Address, bytes);
    }
}
