using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>
/// A matrix of an open bundle that is stored as whole numbers, where it lies in memory, which lives as long as the bundle: a row for each output, and in each
/// row one scale after the other for blocks of equal width. A weight is its number times its block's scale. Reading it allocates nothing.
/// </summary>
internal readonly unsafe struct QuantizedMatrix
{
    private readonly WeightFormat _format;
    private readonly byte* _numbers;

    /// <param name="bundle">The open bundle.</param>
    /// <param name="numbers">What its manifest says of the numbers, [outputs, inputs].</param>
    public QuantizedMatrix(ModelBundle bundle, BundleTensor numbers)
    {
        _format = WeightFormat.Of(numbers.Type);
        _numbers = (byte*)bundle.Tensor(numbers).Address;
        bundle.TryGetTensor(T5TensorNames.Scales(numbers.Name), out BundleTensor scales);
        Scales = (float*)bundle.Tensor(scales).Address;
        (Rows, Width, Blocks) = (numbers.Shape[0], numbers.Shape[1], scales.Shape[1]);
    }

    public WeightPrecision Type => _format.Precision;

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs: the numbers of a row.</summary>
    public int Width { get; }

    /// <summary>Blocks of a row.</summary>
    public int Blocks { get; }

    /// <summary>Numbers of a block.</summary>
    public int Block => Width / Blocks;

    /// <summary>The first byte of the first row.</summary>
    public byte* Numbers => _numbers;

    /// <summary>The scales, a row of <see cref="Blocks"/> for each row; all positive and finite.</summary>
    public float* Scales { get; }

    /// <summary>Bytes of a row; rows of four bits have an even width.</summary>
    public long RowBytes => _format.ByteCount(Width);

    /// <summary>Gives the weights of a row.</summary>
    public void ReadRow(int row, Span<float> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows);
        ArgumentOutOfRangeException.ThrowIfNotEqual(destination.Length, Width);
        _format.Widen(_numbers + (row * RowBytes), destination);
        for (int block = 0; block < Blocks; block++)
        {
            Span<float> part = destination.Slice(block * Block, Block);
            TensorPrimitives.Multiply(part, Scales[((long)row * Blocks) + block], part);
        }
    }
}
