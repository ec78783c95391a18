using System.Buffers;
using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Writes a matrix as whole numbers with scales, in bounded memory and on all processors; what is written does not depend on how many.</summary>
internal sealed class MatrixQuantizer
{
    private const int BandElements = 1 << 21;

    private readonly string name;
    private readonly WeightPrecision type;
    private readonly int rows;
    private readonly int width;
    private readonly int block;
    private readonly int blocks;
    private readonly MatrixRowReader read;
    private readonly float[] scales;
    private readonly double[] errors;
    private readonly double[] norms;

    private MatrixQuantizer(string name, WeightPrecision type, int rows, int width, MatrixRowReader read)
    {
        (this.name, this.type, this.rows, this.width, this.read) = (name, type, rows, width, read);
        block = StoredTypes.Block(name, type, width);
        blocks = width / block;
        scales = new float[checked(rows * blocks)];
        errors = new double[rows];
        norms = new double[rows];
    }

    /// <summary>Appends the numbers of a matrix, a row for each output, and its scales as a tensor of their own.</summary>
    /// <param name="writer">The bundle.</param>
    /// <param name="name">The matrix's name.</param>
    /// <param name="type">What the numbers are.</param>
    /// <param name="rows">Its outputs.</param>
    /// <param name="width">Its inputs.</param>
    /// <param name="read">Reads the weights of an output.</param>
    /// <exception cref="InvalidModelException">A weight is no number, or one too large to have a scale.</exception>
    public static QuantizedTensor Write(BundleWriter writer, string name, WeightPrecision type, int rows, int width, MatrixRowReader read)
    {
        var quantizer = new MatrixQuantizer(name, type, rows, width, read);
        writer.AddTensor(name, [rows, width], type, quantizer.WriteNumbers);
        writer.AddTensor(
            T5TensorNames.Scales(name), [rows, quantizer.blocks], WeightPrecision.Float32, elements => elements.Write(quantizer.scales));
        return new QuantizedTensor(name, type, quantizer.errors.Sum(), quantizer.norms.Sum());
    }

    private void WriteNumbers(ElementWriter elements)
    {
        int band = Math.Clamp(BandElements / width, 1, rows);
        float[] numbers = ArrayPool<float>.Shared.Rent(checked(band * width));
        try
        {
            for (int done = 0; done < rows; done += band)
            {
                int first = done;
                int count = Math.Min(band, rows - done);
                Parallel.For(
                    0, count,
                    () => (Quantizer: new BlockQuantizer(type, block), Weights: new float[width]),
                    (row, _, local) =>
                    {
                        Quantize(first + row, local.Quantizer, local.Weights, numbers.AsSpan(row * width, width));
                        return local;
                    },
                    _ => { });
                int invalid = Array.FindIndex(norms, first, count, double.IsNaN);
                if (invalid >= 0)
                {
                    throw new InvalidModelException(
                        $"The matrix '{name}' has among the weights of its output {invalid} one that is not a number, or above "
                        + $"{BlockQuantizer.Largest:G1} in magnitude, which {WeightFormat.Of(type).Name} cannot store. Keep the matrix in single "
                        + $"precision with '{T5ConversionOptions.KeepPrefix}{name}', or take another checkpoint.");
                }

                elements.Write(numbers.AsSpan(0, count * width));
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(numbers);
        }
    }

    private void Quantize(int row, BlockQuantizer quantizer, Span<float> weights, Span<float> numbers)
    {
        read(row, weights);
        // Nor is a NaN at most that.
        if (!(Math.Abs(TensorPrimitives.MaxMagnitude<float>(weights)) <= BlockQuantizer.Largest))
        {
            norms[row] = double.NaN;
            return;
        }

        foreach (float weight in weights)
        {
            norms[row] += (double)weight * weight;
        }

        for (int at = 0; at < blocks; at++)
        {
            (scales[(row * blocks) + at], double error) = quantizer.Quantize(weights.Slice(at * block, block), numbers.Slice(at * block, block));
            errors[row] += error;
        }
    }
}
