using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>One product of rows with inputs, in chunks on ONNX Runtime's threads.</summary>
internal unsafe struct HeadProduct
{
    private const long LeastForThreads = 1 << 18;

    private delegate*<void*, int, int, int, float*, int, float*, int, void> _kernel;
    private void* _rows;
    private float* _inputs;
    private float* _logits;
    private int _width;
    private int _rowCount;
    private int _inputCount;
    private int _chunks;

    /// <summary>Computes rows [rowCount, d], inputs [count, d] → logits [count, rowCount].</summary>
    /// <param name="lane">Where loops are started from.</param>
    /// <param name="chunks">Parts of the work.</param>
    /// <param name="kernel">What multiplies rows of that kind.</param>
    /// <param name="rows">The first row.</param>
    /// <param name="width">d.</param>
    /// <param name="rowCount">How many rows.</param>
    /// <param name="inputs">The inputs.</param>
    /// <param name="count">How many inputs.</param>
    /// <param name="logits">Takes the products.</param>
    public static void Run(
        OnnxThreadPool.Lane lane, int chunks, delegate*<void*, int, int, int, float*, int, float*, int, void> kernel, void* rows, int width, int rowCount,
        ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(inputs.Length, (long)count * width);
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(logits.Length, (long)count * rowCount);
        fixed (float* input = inputs, output = logits)
        {
            // Below this size waking threads costs more than the product.
            if ((long)rowCount * width < LeastForThreads)
            {
                kernel(rows, width, 0, rowCount, input, count, output, rowCount);
                return;
            }

            var product = new HeadProduct
            {
                _kernel = kernel,
                _rows = rows,
                _width = width,
                _rowCount = rowCount,
                _inputs = input,
                _inputCount = count,
                _logits = output,
                _chunks = chunks,
            };
            lane.Run(&MultiplyChunk, &product, chunks);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var product = (HeadProduct*)state;
        int first = Border((int)chunk);
        int end = Border((int)chunk + 1);
        product->_kernel(product->_rows, product->_width, first, end, product->_inputs, product->_inputCount, product->_logits, product->_rowCount);

        // Whole blocks of the kernel's rows, but for the last chunk.
        int Border(int at) => at == product->_chunks ? product->_rowCount : (int)((long)product->_rowCount * at / product->_chunks) & ~3;
    }
}
