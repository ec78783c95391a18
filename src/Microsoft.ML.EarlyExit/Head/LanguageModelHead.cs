using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>The decoder's final norm and its LM head: <c>z = W · s · RMSNorm(h)</c>, the same at every exit. Reads its weights where the bundle has
/// them.</summary>
internal sealed unsafe class LanguageModelHead : IDisposable
{
    private const int ChunksPerThread = 4;

    // Below, multiplying all is faster than choosing.
    private const long LeastForScreen = 1 << 20;

    private readonly HeadWeights _weights;
    private readonly WeightTensor _norm;
    private readonly float _epsilon;
    private readonly float _scale;

    private readonly int _chunks;

    public LanguageModelHead(ModelBundle bundle, int threadCount)
        : this(
            bundle.Tensor(bundle.Manifest.TensorNames.Head), bundle.Tensor(bundle.Manifest.TensorNames.DecoderFinalNorm), bundle.Configuration, threadCount)
    {
    }

    /// <summary>A head of given weights.</summary>
    /// <param name="weights">[V, d].</param>
    /// <param name="norm">The final norm's weights, [d].</param>
    /// <param name="configuration">The model's sizes.</param>
    /// <param name="threadCount">Threads that multiply.</param>
    public LanguageModelHead(WeightTensor weights, WeightTensor norm, T5Configuration configuration, int threadCount)
    {
        // More than one each: a thread that starts late takes fewer.
        ThreadCount = threadCount;
        _chunks = threadCount == 1 ? 1 : ChunksPerThread * threadCount;
        Width = configuration.ModelDimension;
        VocabularySize = configuration.VocabularySize;
        _weights = new HeadWeights(weights);
        _norm = norm;
        _epsilon = configuration.LayerNormEpsilon;
        _scale = configuration.HeadScale;
        Counts = new ScreenCounts(configuration.DecoderLayerCount);
    }

    /// <summary>Threads that multiply.</summary>
    public int ThreadCount { get; }

    public int Width { get; }

    public int VocabularySize { get; }

    /// <summary>What products that need only the best logits read first; null where the head is small, or <see cref="MakeScreen"/> was not called. Tests
    /// take it away, to compare.</summary>
    public HeadScreen? Screen { get; set; }

    /// <summary>What multiplies with the whole head on a device; null where this does. It makes a screen needless.</summary>
    public DeviceHead? Device { get; set; }

    /// <summary>What of the head was multiplied again after its screen.</summary>
    public ScreenCounts Counts { get; }

    /// <summary>Makes the screen, where one pays.</summary>
    /// <param name="lane">Where loops are started from.</param>
    /// <param name="always">Also where none pays.</param>
    public void MakeScreen(OnnxThreadPool.Lane lane, bool always = false)
    {
        if (always || (long)VocabularySize * Width >= LeastForScreen)
            Screen = HeadScreen.Make(_weights, VocabularySize, Width, lane, _chunks);
    }

    /// <summary>The head's input for a hidden state: normed and scaled.</summary>
    public void Normalize(ReadOnlySpan<float> hidden, Span<float> normed)
    {
        float meanSquare = TensorPrimitives.SumOfSquares(hidden) / Width;
        TensorPrimitives.Multiply(hidden, 1f / MathF.Sqrt(meanSquare + _epsilon), normed);
        TensorPrimitives.Multiply(normed, _norm.Floats, normed);
        if (_scale != 1f)
            TensorPrimitives.Multiply(normed, _scale, normed);
    }

    /// <summary>Gives the weights of a token in single precision.</summary>
    public void CopyRow(int id, Span<float> row) => _weights.CopyRow(id, row);

    /// <summary>Logits over the full vocabulary: inputs [count, d] → logits [count, V], on ONNX Runtime's threads or a device.</summary>
    public void Multiply(OnnxThreadPool.Lane lane, ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        if (Device is not null)
            Device.Multiply(inputs, count, logits);
        else
            HeadProduct.Run(lane, _chunks, _weights.Kernel, _weights.Address, Width, VocabularySize, inputs, count, logits);
    }

    /// <summary>What computes what the screen says of the logits over the full vocabulary; null where there is no screen.</summary>
    public ScreenProduct? CreateEstimates(OnnxThreadPool.Lane lane) => Screen is null ? null : new ScreenProduct(Screen, lane, _chunks);

    /// <summary>Logits of some tokens for one input, in the order of the tokens; as the whole product gives them on the CPU, to the bit.</summary>
    /// <param name="lane">Where loops are started from; null for this thread alone.</param>
    /// <param name="ids">The tokens.</param>
    /// <param name="input">The input.</param>
    /// <param name="logits">Takes as many logits.</param>
    public void MultiplyRows(OnnxThreadPool.Lane? lane, ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> logits) =>
        RowsProduct.Run(lane, _chunks, _weights, Width, ids, input, logits);

    public void Dispose() => Screen?.Dispose();
}
