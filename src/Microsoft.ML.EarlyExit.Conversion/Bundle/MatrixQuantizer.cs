using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Writes matrices as whole numbers with scales, in bounded memory and on all processors; what is written does not depend on them.</summary>
internal static class MatrixQuantizer
{
    private const int BandElements = 1 << 22;

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
        int block = StoredTypes.Block(name, type, width);
        int blocks = width / block;
        float[] scales = new float[checked(rows * blocks)];
        double[] errors = new double[rows];
        double[] norms = new double[rows];
        writer.AddTensor(name, [rows, width], type, elements =>
        {
            int band = Math.Clamp(BandElements / width, 1, rows);
            float[] numbers = new float[band * width];
            for (int done = 0; done < rows; done += band)
            {
                int first = done;
                int count = Math.Min(band, rows - done);
                int invalid = int.MaxValue;
                Parallel.For(0, count, () => (Quantizer: new BlockQuantizer(type, block), Weights: new float[width]), (i, _, state) =>
                {
                    int row = first + i;
                    read(row, state.Weights);
                    // A NaN is no smaller either.
                    if (!(Math.Abs(TensorPrimitives.MaxMagnitude<float>(state.Weights)) <= BlockQuantizer.Largest))
                    {
                        InterlockedMin(ref invalid, row);
                        return state;
                    }

                    foreach (float weight in state.Weights)
                    {
                        norms[row] += (double)weight * weight;
                    }

                    for (int at = 0; at < blocks; at++)
                    {
                        (scales[(row * blocks) + at], double error) =
                            state.Quantizer.Quantize(state.Weights.AsSpan(at * block, block), numbers.AsSpan((i * width) + (at * block), block));
                        errors[row] += error;
                    }

                    return state;
                }, _ => { });
                if (invalid != int.MaxValue)
                {
                    throw new InvalidModelException(
                        $"The matrix '{name}' has in row {invalid} a weight that is not a number, or beyond {BlockQuantizer.Largest:G1} in magnitude, which "
                        + $"{WeightFormat.Of(type).Name} cannot store. Keep the matrix in single precision, or take another checkpoint.");
                }

                elements.Write(numbers.AsSpan(0, count * width));
            }
        });
        writer.AddTensor(T5TensorNames.Scales(name), [rows, blocks], WeightPrecision.Float32, elements => elements.Write(scales));
        return new QuantizedTensor(name, type, errors.Sum(), norms.Sum());
    }

    private static void InterlockedMin(ref int target, int value)
    {
        int seen;
        while (value < (seen = Volatile.Read(ref target)) && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }
}
