using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>The logits of one layer for one token, over what was alive there. Either they are kept, or they lie in memory of the session that the next layer uses again.</summary>
/// <param name="capacity">How many logits are kept at most, where it is known.</param>
internal sealed unsafe class LayerLogits(int capacity = 0) : IDisposable
{
    private const int Chunk = 512;

    private NativeBuffer? _kept;
    private float* _values;
    private int _count;
    private float _max;
    private double _logSumExp;
    private bool _isSummed;

    /// <summary>Whether they are there for the current token.</summary>
    public bool IsSet => _values != null;

    /// <summary>Whether they are over the whole vocabulary, so that an index is an id; else an index is a place among the alive tokens.</summary>
    public bool IsWhole { get; private set; }

    public Span<float> Values => new(_values, _count);

    /// <summary>The largest logit; a NaN or an infinity where there is one.</summary>
    public float Max
    {
        get
        {
            Sum();
            return _max;
        }
    }

    /// <summary><c>ln Σ exp(z)</c>: what makes logits logarithms of probabilities.</summary>
    public double LogSumExp
    {
        get
        {
            Sum();
            return _logSumExp;
        }
    }

    /// <summary>Takes logits where they lie, or a copy of them.</summary>
    public void Set(ReadOnlySpan<float> values, bool isWhole, bool keep)
    {
        if (keep)
        {
            if (_kept is null || _kept.Bytes < (long)values.Length * sizeof(float))
            {
                _kept?.Dispose();
                _kept = new NativeBuffer((long)Math.Max(values.Length, capacity) * sizeof(float));
            }

            Span<float> copy = _kept.Span<float>(0, values.Length);
            values.CopyTo(copy);
            values = copy;
        }

        // Memory of native buffers: it does not move.
        fixed (float* first = values)
            _values = first;
        _count = values.Length;
        IsWhole = isWhole;
        _isSummed = false;
    }

    public void Clear() => _values = null;

    public void Dispose() => _kept?.Dispose();

    private void Sum()
    {
        if (_isSummed)
            return;
        _isSummed = true;
        ReadOnlySpan<float> values = Values;
        _max = TensorPrimitives.Max(values);
        Span<float> buffer = stackalloc float[Chunk];
        double sum = 0;
        for (int start = 0; start < values.Length; start += Chunk)
        {
            ReadOnlySpan<float> part = values.Slice(start, Math.Min(Chunk, values.Length - start));
            Span<float> exponentials = buffer[..part.Length];
            TensorPrimitives.Subtract(part, _max, exponentials);
            TensorPrimitives.Exp(exponentials, exponentials);
            sum += TensorPrimitives.Sum<float>(exponentials);
        }

        _logSumExp = _max + Math.Log(sum);
    }
}
