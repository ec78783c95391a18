using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>One product of a screen with inputs, in chunks on ONNX Runtime's threads.</summary>
internal unsafe struct ScreenProduct
{
    private sbyte* _values;
    private float* _scales;
    private float* _inputs;
    private float* _logits;
    private int _width;
    private int _rows;
    private int _inputCount;
    private int _chunks;

    /// <summary>Computes inputs [count, d] → estimates [count, V].</summary>
    public static void Run(OnnxThreadPool.Lane lane, int chunks, HeadScreen screen, ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(inputs.Length, (long)count * screen.Width);
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(logits.Length, (long)count * screen.Rows);
        fixed (float* input = inputs, output = logits, scales = screen.Scales)
        {
            var product = new ScreenProduct
            {
                _values = screen.Values,
                _scales = scales,
                _inputs = input,
                _logits = output,
                _width = screen.Width,
                _rows = screen.Rows,
                _inputCount = count,
                _chunks = chunks,
            };
            lane.Run(&MultiplyChunk, &product, chunks);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var product = (ScreenProduct*)state;
        int first = Border((int)chunk);
        int end = Border((int)chunk + 1);
        HeadKernel.Multiply<Int8Rows>(product->_values, product->_width, first, end, product->_inputs, product->_inputCount, product->_logits, product->_rows);
        var scales = new ReadOnlySpan<float>(product->_scales + first, end - first);
        for (int input = 0; input < product->_inputCount; input++)
        {
            var logits = new Span<float>(product->_logits + ((long)input * product->_rows) + first, end - first);
            TensorPrimitives.Multiply(logits, scales, logits);
        }

        // Whole blocks of the kernel's rows, but for the last chunk.
        int Border(int at) => at == product->_chunks ? product->_rows : (int)((long)product->_rows * at / product->_chunks) & ~3;
    }
}
