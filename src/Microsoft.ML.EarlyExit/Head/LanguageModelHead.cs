using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>The decoder's final norm and its LM head: <c>z = W · s · RMSNorm(h)</c>, the same at every exit. Reads its weights where the bundle has them.</summary>
internal sealed unsafe class LanguageModelHead
{
    private const int ChunksPerThread = 4;
    private const long LeastForThreads = 1 << 18;

    private readonly float* _weights;
    private readonly float* _norm;
    private readonly float _epsilon;
    private readonly float _scale;

    private readonly int _chunks;

    public LanguageModelHead(ModelBundle bundle, int threadCount)
    {
        // More than one each: a thread that starts late takes fewer.
        _chunks = threadCount == 1 ? 1 : ChunksPerThread * threadCount;
        T5Configuration configuration = bundle.Configuration;
        Width = configuration.ModelDimension;
        VocabularySize = configuration.VocabularySize;
        _weights = bundle.TensorData(bundle.Manifest.TensorNames.Head);
        _norm = bundle.TensorData(bundle.Manifest.TensorNames.DecoderFinalNorm);
        _epsilon = configuration.LayerNormEpsilon;
        _scale = configuration.HeadScale;
    }

    public int Width { get; }

    public int VocabularySize { get; }

    /// <summary>The head's input for a hidden state: normed and scaled.</summary>
    public void Normalize(ReadOnlySpan<float> hidden, Span<float> normed)
    {
        float meanSquare = TensorPrimitives.SumOfSquares(hidden) / Width;
        TensorPrimitives.Multiply(hidden, 1f / MathF.Sqrt(meanSquare + _epsilon), normed);
        TensorPrimitives.Multiply(normed, new ReadOnlySpan<float>(_norm, Width), normed);
        if (_scale != 1f)
            TensorPrimitives.Multiply(normed, _scale, normed);
    }

    /// <summary>The weights of a token.</summary>
    public ReadOnlySpan<float> Row(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)VocabularySize);
        return new ReadOnlySpan<float>(_weights + ((long)id * Width), Width);
    }

    /// <summary>Logits over the whole vocabulary: inputs [count, d] → logits [count, V], on ONNX Runtime's threads.</summary>
    public void Multiply(OnnxThreadPool.Lane lane, ReadOnlySpan<float> inputs, int count, Span<float> logits) =>
        Multiply(lane, _weights, VocabularySize, inputs, count, logits);

    /// <summary>Logits over some rows: rows [rowCount, d], inputs [count, d] → logits [count, rowCount].</summary>
    public void Multiply(OnnxThreadPool.Lane lane, float* rows, int rowCount, ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inputs.Length, count * Width);
        ArgumentOutOfRangeException.ThrowIfLessThan(logits.Length, count * rowCount);
        fixed (float* input = inputs, output = logits)
        {
            // A few rows are done sooner than other threads have heard of them.
            if ((long)rowCount * Width < LeastForThreads)
            {
                HeadKernel.Multiply(rows, Width, 0, rowCount, input, count, output, rowCount);
                return;
            }

            var product = new Product
            {
                Weights = rows,
                Width = Width,
                RowCount = rowCount,
                Inputs = input,
                InputCount = count,
                Logits = output,
                Chunks = _chunks,
            };
            lane.Run(&MultiplyChunk, &product, _chunks);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var product = (Product*)state;
        int first = Border((int)chunk);
        int end = Border((int)chunk + 1);
        HeadKernel.Multiply(product->Weights, product->Width, first, end, product->Inputs, product->InputCount, product->Logits, product->RowCount);

        // Whole blocks of the kernel's rows, but for the last chunk.
        int Border(int at) => at == product->Chunks ? product->RowCount : (int)((long)product->RowCount * at / product->Chunks) & ~3;
    }

    private struct Product
    {
        public float* Weights;
        public float* Inputs;
        public float* Logits;
        public int Width;
        public int RowCount;
        public int InputCount;
        public int Chunks;
    }
}
