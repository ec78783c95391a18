using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>A tensor of an open bundle where it lies in memory, which lives as long as the bundle. Reading it allocates nothing.</summary>
internal readonly unsafe struct WeightTensor
{
    private readonly BundleTensor _description;
    private readonly WeightFormat _format;
    private readonly byte* _start;
    private readonly long _elements;

    /// <param name="description">What the manifest says of it.</param>
    /// <param name="start">Its first byte.</param>
    public WeightTensor(BundleTensor description, byte* start)
    {
        _description = description;
        _format = WeightFormat.Of(description.Type);
        _start = start;
        _elements = description.ElementCount;
        Rows = description.Shape[0];
        Width = (int)(_elements / Rows);
    }

    public WeightPrecision Type => _description.Type;

    public int Rows { get; }

    /// <summary>Weights of one row.</summary>
    public int Width { get; }

    /// <summary>The first byte.</summary>
    public nint Address => (nint)_start;

    public long ByteCount => _format.ByteCount(_elements);

    /// <summary>The weights of a tensor that is stored in single precision.</summary>
    /// <exception cref="InvalidOperationException">It is stored in another one.</exception>
    public ReadOnlySpan<float> Floats =>
        Type == WeightPrecision.Float32
            ? new ReadOnlySpan<float>(_start, checked((int)_elements))
            : throw new InvalidOperationException($"Tensor '{_description.Name}' is stored as {_format.Name}, not in single precision.");

    /// <summary>Gives a row in single precision.</summary>
    public void ReadRow(int row, Span<float> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows);
        ArgumentOutOfRangeException.ThrowIfNotEqual(destination.Length, Width);
        _format.Widen(_start + _format.ByteCount((long)row * Width), destination);
    }

    /// <summary>Gives all weights in single precision.</summary>
    /// <param name="destination">The first of as many floats.</param>
    public void ReadAll(float* destination)
    {
        for (int row = 0; row < Rows; row++)
            ReadRow(row, new Span<float>(destination + ((long)row * Width), Width));
    }
}
