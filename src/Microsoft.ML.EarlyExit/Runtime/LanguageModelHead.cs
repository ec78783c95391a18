using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>The decoder's final norm and its LM head: <c>z = W · s · RMSNorm(h)</c>, the same at every exit. Reads its weights where the bundle has them.</summary>
internal sealed unsafe class LanguageModelHead
{
    private readonly float* _weights;
    private readonly float* _norm;
    private readonly float _epsilon;
    private readonly float _scale;

    public LanguageModelHead(ModelBundle bundle)
    {
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

    /// <summary>Logits over the whole vocabulary: inputs [count, d] → logits [count, V].</summary>
    public void Multiply(ReadOnlySpan<float> inputs, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inputs.Length, count * Width);
        ArgumentOutOfRangeException.ThrowIfLessThan(logits.Length, count * VocabularySize);
        fixed (float* input = inputs, output = logits)
            HeadKernel.Multiply(_weights, Width, 0, VocabularySize, input, count, output, VocabularySize);
    }
}
