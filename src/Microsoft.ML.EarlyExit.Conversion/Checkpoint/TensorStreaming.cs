using System.Buffers;
using Microsoft.ML.EarlyExit.Conversion.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>Writes tensors element by element, in bounded memory whatever their size.</summary>
internal static class TensorStreaming
{
    private const int BufferElements = 1 << 21;

    // One cache line of output at a time.
    private const int TileRows = 16;

    /// <summary>Writes the elements in the tensor's own order.</summary>
    public static void Write(CheckpointTensor tensor, ElementWriter destination)
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
                destination.Write(part);
                start += part.Length;
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    /// <summary>Writes a [rows, columns] tensor as [columns, rows].</summary>
    public static void WriteTransposed(CheckpointTensor tensor, ElementWriter destination) => WriteTransposedConcatenated([tensor], destination);

    /// <summary>Writes tensors [out_i, in] as one matrix [in, sum of out_i]: their transposes side by side, in the order given.</summary>
    public static void WriteTransposedConcatenated(IReadOnlyList<CheckpointTensor> tensors, ElementWriter destination)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentOutOfRangeException.ThrowIfZero(tensors.Count, nameof(tensors));
        var parts = new List<TransposedPart>(tensors.Count);
        int width = 0;
        foreach (CheckpointTensor tensor in tensors)
        {
            parts.Add(new TransposedPart(tensor, 0, tensor.Shape[0], width));
            width = checked(width + tensor.Shape[0]);
        }

        WriteTransposed(parts, width, 0, Columns(tensors[0]), destination);
    }

    /// <summary>Writes columns [firstInput, firstInput + inputs) of the parts as one matrix [inputs, width], zero where no part lies.</summary>
    public static void WriteTransposed(IReadOnlyList<TransposedPart> parts, int width, int firstInput, int inputs, ElementWriter destination)
    {
        ArgumentNullException.ThrowIfNull(parts);
        ArgumentNullException.ThrowIfNull(destination);
        foreach ((CheckpointTensor tensor, _, _, _) in parts)
        {
            if (Columns(tensor) != Columns(parts[0].Tensor))
            {
                throw new ArgumentException(
                    $"Tensor '{tensor.Name}' has {Columns(tensor)} columns, '{parts[0].Tensor.Name}' {Columns(parts[0].Tensor)}; "
                    + "side by side they must have the same.",
                    nameof(parts));
            }
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
            output.AsSpan().Clear();
            for (int done = 0; done < inputs; done += band)
            {
                int count = Math.Min(band, inputs - done);
                foreach ((CheckpointTensor tensor, int firstRow, int rowCount, int column) in parts)
                {
                    for (int row = 0; row < rowCount; row += TileRows)
                    {
                        int rows = Math.Min(TileRows, rowCount - row);
                        for (int r = 0; r < rows; r++)
                        {
                            tensor.Read(((long)(firstRow + row + r) * Columns(tensor)) + firstInput + done, tile.AsSpan(r * tileStride, count));
                        }

                        TransposeTile(tile, tileStride, rows, count, output.AsSpan(column + row), width);
                    }
                }

                destination.Write(output.AsSpan(0, count * width));
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
