using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>The logits of one layer for one token, over what was alive there. Either they are kept, or they lie in memory of others that the next layer uses
/// again.</summary>
/// <param name="allocate">Makes memory for those that are kept; of the length that it is given.</param>
/// <param name="capacity">How many logits are kept at most, where it is known.</param>
internal sealed class LayerLogits(Func<int, Memory<float>> allocate, int capacity = 0)
{
    private const int Chunk = 512;

    private Memory<float> _kept;
    private Memory<float> _values;
    private float _max;
    private double _logSumExp;
    private bool _isSummed;

    /// <summary>By how much of itself <c>Σ exp(z)</c> can be wrong, where most logits are estimates and the sum is not to be told; 0 where it is, and a token
    /// may be chosen by them.</summary>
    public double SumError { get; private set; }

    /// <summary>Whether they are there for the current token.</summary>
    public bool IsSet => !_values.IsEmpty;

    /// <summary>Whether they are over the full vocabulary, so that an index is an id; else an index is one into the alive tokens.</summary>
    public bool IsFull { get; private set; }

    public Span<float> Values => _values.Span;

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
    public void Set(Memory<float> values, bool isFull, bool keep)
    {
        _values = values;
        if (keep)
        {
            if (_kept.Length < values.Length)
                _kept = allocate(Math.Max(values.Length, capacity));
            _values = _kept[..values.Length];
            values.CopyTo(_values);
        }

        IsFull = isFull;
        _isSummed = false;
        SumError = 0;
    }

    /// <summary>Takes the sum over logits of which only the best are exact.</summary>
    public void SetSum(double logSumExp, double error)
    {
        (_isSummed, _logSumExp, SumError) = (true, logSumExp, error);
        _max = TensorPrimitives.Max<float>(Values);
    }

    /// <summary>Takes back what <see cref="SetSum"/> gave: all logits are exact.</summary>
    public void ClearSum() => (_isSummed, SumError) = (false, 0);

    public void Clear() => (_values, SumError) = (default, 0);

    /// <summary>Computes <see cref="Max"/> and <see cref="LogSumExp"/>, which otherwise is done when they are first asked for.</summary>
    public void Sum()
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
