using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>The product of some rows of the head, wherever they are, with one input: what the product of all gives for them on the CPU, to the bit.</summary>
internal unsafe struct RowsProduct
{
    // Rows that lie apart take longer to fetch than to multiply: threads pay earlier than for rows in a line.
    private const long LeastForThreads = 1 << 16;

    private delegate*<void*, int, int*, int, float*, float*, void> _kernel;
    private void* _rows;
    private int* _ids;
    private float* _input;
    private float* _products;
    private int _width;
    private int _count;
    private int _chunks;

    /// <summary>Computes the logits of <paramref name="ids"/>, in their order.</summary>
    /// <param name="lane">Where a loop is started from; null for this thread alone.</param>
    /// <param name="chunks">Parts of the work.</param>
    /// <param name="weights">The head.</param>
    /// <param name="width">d.</param>
    /// <param name="ids">The rows.</param>
    /// <param name="input">The head's input.</param>
    /// <param name="products">Takes as many logits as there are ids.</param>
    public static void Run(
        OnnxThreadPool.Lane? lane, int chunks, HeadWeights weights, int width, ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> products)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(input.Length, width);
        ArgumentOutOfRangeException.ThrowIfLessThan(products.Length, ids.Length);
        fixed (float* values = input, output = products)
        fixed (int* places = ids)
        {
            var product = new RowsProduct
            {
                _kernel = weights.RowsKernel,
                _rows = weights.Address,
                _ids = places,
                _input = values,
                _products = output,
                _width = width,
                _count = ids.Length,
                _chunks = chunks,
            };
            if (lane is null || (long)ids.Length * width < LeastForThreads)
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

    private readonly void Multiply(int first, int end) => _kernel(_rows, _width, _ids + first, end - first, _input, _products + first);
}
