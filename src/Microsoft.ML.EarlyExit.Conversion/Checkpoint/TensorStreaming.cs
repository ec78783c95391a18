using System.Buffers;
using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>Writes tensors as little-endian single precision, in bounded memory whatever their size.</summary>
internal static class TensorStreaming
{
    private const int BufferElements = 1 << 21;

    // One cache line of output at a time.
    private const int TileRows = 16;

    /// <summary>Writes the elements in the tensor's own order.</summary>
    public static void Write(CheckpointTensor tensor, Stream destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentNullException.ThrowIfNull(destination);
        float[] buffer = ArrayPool<float>.Shared.Rent((int)Math.Min(BufferElements / 4, tensor.ElementCount));
        try
        {
            for (long start = 0; start < tensor.ElementCount;)
            {
                Span<float> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.ElementCount - start));
                tensor.Read(start, part);
                destination.Write(MemoryMarshal.AsBytes(part));
                start += part.Length;
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    /// <summary>Writes a [rows, columns] tensor as [columns, rows].</summary>
    public static void WriteTransposed(CheckpointTensor tensor, Stream destination) => WriteTransposedConcatenated([tensor], destination);

    /// <summary>Writes tensors [out_i, in] as one matrix [in, sum of out_i]: their transposes side by side, in the order given.</summary>
    public static void WriteTransposedConcatenated(IReadOnlyList<CheckpointTensor> tensors, Stream destination)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentOutOfRangeException.ThrowIfZero(tensors.Count, nameof(tensors));
        int inputs = Columns(tensors[0]);
        int width = 0;
        foreach (CheckpointTensor tensor in tensors)
        {
            if (Columns(tensor) != inputs)
            {
                throw new ArgumentException(
                    $"Tensor '{tensor.Name}' has {Columns(tensor)} columns, '{tensors[0].Name}' {inputs}; side by side they must have the "
                    + "same.", nameof(tensors));
            }

            width = checked(width + tensor.Shape[0]);
        }

        if (inputs == 0 || width == 0)
        {
            return;
        }

        // A band is as many output rows as fit the buffer, and at least one.
        int band = Math.Clamp(BufferElements / width, 1, inputs);

        // The odd line keeps the rows of a tile out of each other's cache sets where the band is a power of two.
        int tileStride = band + TileRows;
        float[] output = ArrayPool<float>.Shared.Rent(checked(band * width));
        float[] tile = ArrayPool<float>.Shared.Rent(checked(TileRows * tileStride));
        try
        {
            for (int first = 0; first < inputs; first += band)
            {
                int count = Math.Min(band, inputs - first);
                int column = 0;
                foreach (CheckpointTensor tensor in tensors)
                {
                    for (int row = 0; row < tensor.Shape[0]; row += TileRows)
                    {
                        int rows = Math.Min(TileRows, tensor.Shape[0] - row);
                        for (int r = 0; r < rows; r++)
                        {
                            tensor.Read(((long)(row + r) * inputs) + first, tile.AsSpan(r * tileStride, count));
                        }

                        TransposeTile(tile, tileStride, rows, count, output.AsSpan(column + row), width);
                    }

                    column += tensor.Shape[0];
                }

                destination.Write(MemoryMarshal.AsBytes(output.AsSpan(0, count * width)));
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(output);
            ArrayPool<float>.Shared.Return(tile);
        }
    }

    private static void TransposeTile(ReadOnlySpan<float> tile, int tileStride, int rows, int columns, Span<float> output, int outputStride)
    {
        for (int c = 0; c < columns; c++)
        {
            Span<float> line = output.Slice(c * outputStride, rows);
            for (int r = 0; r < line.Length; r++)
            {
                line[r] = tile[(r * tileStride) + c];
            }
        }
    }

    private static int Columns(CheckpointTensor tensor) =>
        tensor.Shape.Count == 2
            ? tensor.Shape[1]
            : throw new ArgumentException($"Tensor '{tensor.Name}' has {tensor.Shape.Count} dimensions; only a matrix can be transposed.");
}
