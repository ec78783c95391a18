using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>The product of some rows of the head, wherever they are, with one input: what the product of all gives for them, to the bit.</summary>
internal unsafe struct RowsProduct
{
    // Rows that lie apart take longer to fetch than to multiply: threads pay earlier than for rows in a line.
    private const long LeastForThreads = 1 << 16;

    private delegate*<void*, int, int, int, float*, int, float*, int, void> _kernel;
    private void* _rows;
    private float* _input;
    private float* _logits;
    private int* _ids;
    private int _width;
    private int _count;
    private int _chunks;

    /// <summary>Computes the logits of <paramref name="ids"/> at their places among those of all rows.</summary>
    public static void Run(
        OnnxThreadPool.Lane lane, int chunks, HeadWeights weights, int width, ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(input.Length, width);
        fixed (float* values = input, output = logits)
        fixed (int* places = ids)
        {
            var product = new RowsProduct
            {
                _kernel = weights.Kernel,
                _rows = weights.Address,
                _input = values,
                _logits = output,
                _ids = places,
                _width = width,
                _count = ids.Length,
                _chunks = chunks,
            };
            if ((long)ids.Length * width < LeastForThreads)
                product.Multiply(0, ids.Length);
            else
                lane.Run(&MultiplyChunk, &product, chunks);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var product = (RowsProduct*)state;
        product->Multiply((int)((long)product->_count * (int)chunk / product->_chunks), (int)((long)product->_count * ((int)chunk + 1) / product->_chunks));
    }

    private readonly void Multiply(int first, int end)
    {
        for (int at = first; at < end; at++)
            _kernel(_rows, _width, _ids[at], _ids[at] + 1, _input, 1, _logits, 0);
    }
}
