using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Products with the whole LM head on a device. Thread-safe.</summary>
/// <param name="session">A session of <see cref="DeviceGraph.Head"/>, which outlives this.</param>
/// <param name="width">d.</param>
/// <param name="rowCount">V.</param>
internal sealed unsafe class DeviceHead(InferenceSession session, int width, int rowCount)
{
    /// <summary>
    /// Weights of a head from which on it is multiplied there: an estimate that was measured on no GPU. A device's run and the way of the logits to the host
    /// may take a tenth of a millisecond, in which a processor reads as many weights as this of the head's screen, a byte each, at 40 GB/s.
    /// </summary>
    public const long LeastWeights = 1 << 22;

    /// <summary>Inputs [count, d] → logits [count, V].</summary>
    public void Multiply(ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(inputs.Length, (long)count * width);
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(logits.Length, (long)count * rowCount);
        fixed (float* input = inputs, output = logits)
        {
            using OrtValue states = View(input, count, width);
            using OrtValue products = View(output, count, rowCount);
            using var run = new RunOptions();
            using OrtIoBinding binding = session.CreateIoBinding();
            binding.BindInput(DeviceGraph.HeadInput, states);
            binding.BindOutput(DeviceGraph.Logits, products);
            session.RunSynchronized(run, binding);
        }
    }

    private static OrtValue View(float* values, int rows, int columns) => OrtValue.CreateTensorValueWithData(
        OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [rows, columns], (nint)values, (long)rows * columns * sizeof(float));
}
