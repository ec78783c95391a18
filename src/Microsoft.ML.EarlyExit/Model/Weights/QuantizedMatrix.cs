using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>
/// A matrix of an open bundle that is stored as whole numbers, where it lies in memory, which lives as long as the bundle: a row for each output, and in each
/// row one scale after the other for blocks of equal width. A weight is its number times its block's scale. Reading it allocates nothing.
/// </summary>
internal readonly unsafe struct QuantizedMatrix
{
    /// <summary>Rows that are turned at a time: one cache line of what is written.</summary>
    public const int TileRows = 16;

    private readonly WeightFormat _format;
    private readonly byte* _numbers;

    /// <param name="numbers">What the manifest says of the numbers, [outputs, inputs].</param>
    /// <param name="scales">What it says of the scales, [outputs, blocks].</param>
    /// <param name="numbersStart">The first byte of the numbers.</param>
    /// <param name="scalesStart">The first scale.</param>
    public QuantizedMatrix(BundleTensor numbers, BundleTensor scales, byte* numbersStart, float* scalesStart)
    {
        _format = WeightFormat.Of(numbers.Type);
        _numbers = numbersStart;
        Scales = scalesStart;
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

    /// <summary>Gives all weights with a row for each input, as ONNX's products take them.</summary>
    /// <param name="destination">The first of as many floats.</param>
    /// <param name="rows">Room for <see cref="TileRows"/> rows, <see cref="Width"/> floats each.</param>
    public void ReadTransposed(float* destination, Span<float> rows)
    {
        for (int first = 0; first < Rows; first += TileRows)
        {
            int count = Math.Min(TileRows, Rows - first);
            for (int row = 0; row < count; row++)
                ReadRow(first + row, rows.Slice(row * Width, Width));
            for (int column = 0; column < Width; column++)
            {
                float* line = destination + ((long)column * Rows) + first;
                for (int row = 0; row < count; row++)
                    line[row] = rows[(row * Width) + column];
            }
        }
    }
}
