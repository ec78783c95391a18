using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>
/// Linear probes on hidden states (CALM's exit classifier): <c>sigmoid(w · h + b)</c>, one probe for all layers or one per layer. Immutable, equal by value.
/// </summary>
internal sealed class ClassifierProbe : IEquatable<ClassifierProbe>
{
    // [RowCount, Width].
    private readonly float[] _weights;
    private readonly float[] _biases;

    /// <summary>Copies the probes.</summary>
    /// <param name="weights">One row for all layers, or one per layer; all of the model's width.</param>
    /// <param name="biases">One number per row.</param>
    /// <exception cref="ArgumentNullException">An argument or a row is null.</exception>
    /// <exception cref="ArgumentException">There is no row, or an empty one, rows and biases differ in number, rows differ in length, or a number is not
    /// finite; the message says which.</exception>
    public ClassifierProbe(IReadOnlyList<IReadOnlyList<float>> weights, IReadOnlyList<float> biases)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(biases);
        RowCount = weights.Count;
        if (RowCount == 0)
            throw new ArgumentException("The classifier has no row of weights; it needs one, or one per decoder layer.", nameof(weights));
        if (biases.Count != RowCount)
        {
            throw new ArgumentException(
                $"The classifier has {RowCount} rows of weights, but {biases.Count} biases; it needs one for each row.", nameof(biases));
        }

        for (int row = 0; row < RowCount; row++)
        {
            ArgumentNullException.ThrowIfNull(weights[row], $"{nameof(weights)}[{row}]");
            int length = weights[row].Count;
            if (length == 0)
            {
                throw new ArgumentException(
                    $"weights[{row}] of the classifier is empty; it needs one number per element of the hidden state.", nameof(weights));
            }

            if (length != weights[0].Count)
                throw new ArgumentException($"weights[{row}] of the classifier has {length} numbers, but weights[0] has {weights[0].Count}.", nameof(weights));
        }

        Width = weights[0].Count;
        _weights = new float[checked(RowCount * Width)];
        _biases = [.. biases];
        for (int row = 0; row < RowCount; row++)
        {
            for (int column = 0; column < Width; column++)
            {
                float weight = weights[row][column];
                _weights[(row * Width) + column] = float.IsFinite(weight)
                    ? weight
                    : throw new ArgumentException($"weights[{row}][{column}] of the classifier is {weight}; it must be a finite number.", nameof(weights));
            }

            if (!float.IsFinite(_biases[row]))
                throw new ArgumentException($"biases[{row}] of the classifier is {_biases[row]}; it must be a finite number.", nameof(biases));
        }
    }

    /// <summary>1 where all layers share one probe, else the number of layers.</summary>
    public int RowCount { get; }

    /// <summary>The length of the hidden states that the probes are for.</summary>
    public int Width { get; }

    /// <summary>One bias per row.</summary>
    public ReadOnlySpan<float> Biases => _biases;

    /// <summary>The weights of a row, counted from 0.</summary>
    public ReadOnlySpan<float> Weights(int row) => _weights.AsSpan(row * Width, Width);

    /// <summary>Checks the probes against a model.</summary>
    /// <exception cref="ArgumentException">They are of another width, or neither one nor one per layer; the message has both numbers.</exception>
    public void Validate(int width, int layerCount)
    {
        if (Width != width)
            throw new ArgumentException($"The classifier's rows have {Width} weights, but the model's hidden states have {width} elements.");
        if (RowCount != 1 && RowCount != layerCount)
        {
            throw new ArgumentException(
                $"The classifier has {RowCount} rows, but the model has {layerCount} decoder layers; it needs one row for all layers, or {layerCount}.");
        }
    }

    /// <summary>The confidence after a layer.</summary>
    /// <param name="layer">The layer, from 1.</param>
    /// <param name="hidden">Its hidden state, before any norm.</param>
    /// <returns>A number in [0, 1]; NaN where the state holds a NaN or an infinity.</returns>
    public float Evaluate(int layer, ReadOnlySpan<float> hidden)
    {
        int row = RowCount == 1 ? 0 : layer - 1;
        float score = TensorPrimitives.Dot(Weights(row), hidden) + _biases[row];
        if (!float.IsFinite(score))
            return float.NaN;

        // The exponential of a negative number never overflows.
        float exponential = MathF.Exp(-MathF.Abs(score));
        return score >= 0 ? 1f / (1f + exponential) : exponential / (1f + exponential);
    }

    public bool Equals(ClassifierProbe? other) =>
        other is not null && Width == other.Width && _weights.AsSpan().SequenceEqual(other._weights) && _biases.AsSpan().SequenceEqual(other._biases);

    public override bool Equals(object? obj) => Equals(obj as ClassifierProbe);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        hash.Add(Width);
        foreach (float bias in _biases)
            hash.Add(bias);
        foreach (float weight in _weights)
            hash.Add(weight);
        return hash.ToHashCode();
    }
}
