using System.Numerics.Tensors;
using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Turns blocks of weights into whole numbers and a scale, so that their squared error is small. Not for several threads at once.</summary>
internal sealed class BlockQuantizer
{
    /// <summary>The largest magnitude of a weight that has a scale.</summary>
    public const float Largest = 1e30f;

    // Below, a scale would leave the range of normal numbers; such a block is stored as zeros.
    private const float Smallest = 1e-30f;

    // Scales that are tried, as shares of the one at which the largest magnitude becomes the largest number.
    private const float FirstShare = 0.475f;
    private const float ShareStep = 0.025f;
    private const int Shares = 24;
    private const int Refinements = 3;

    private readonly float least;
    private readonly float most;
    private readonly float[] units;

    /// <param name="type">What the numbers are.</param>
    /// <param name="block">The weights of a block.</param>
    public BlockQuantizer(WeightPrecision type, int block)
    {
        (least, most) = type == WeightPrecision.Int4 ? (Int4Format.Least, Int4Format.Most) : (Int8Format.Least, (float)Int8Format.Most);

        // Filled up with zeros, which have no error.
        units = new float[(block + Vector256<float>.Count - 1) / Vector256<float>.Count * Vector256<float>.Count];
    }

    /// <summary>Quantises a block, all of whose magnitudes are at most <see cref="Largest"/>.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="numbers">Takes their numbers.</param>
    /// <returns>The scale, positive and finite, and the squares of what a number times the scale differs from its weight, summed.</returns>
    public (float Scale, double SquaredError) Quantize(ReadOnlySpan<float> weights, Span<float> numbers)
    {
        float peak = Math.Abs(TensorPrimitives.MaxMagnitude(weights));
        if (peak < Smallest)
        {
            numbers.Clear();
            return (1, 0);
        }

        // In units of the largest, where no square overflows.
        TensorPrimitives.Divide(weights, peak, units.AsSpan(0, weights.Length));
        float scale = BestScale() * peak;
        double error = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            numbers[i] = Math.Clamp(MathF.Round(weights[i] / scale), least, most);
            double difference = weights[i] - ((double)numbers[i] * scale);
            error += difference * difference;
        }

        return (scale, error);
    }

    /// <summary>The best of some scales, and then of those for whose numbers it is the least-squares solution.</summary>
    private float BestScale()
    {
        float best = 0;
        float bestError = float.PositiveInfinity;
        for (int share = 0; share < Shares; share++)
        {
            float scale = (FirstShare + (share * ShareStep)) / most;
            Measure(scale, out float error, out _, out _);
            if (error < bestError)
            {
                (best, bestError) = (scale, error);
            }
        }

        for (int refinement = 0; refinement < Refinements; refinement++)
        {
            Measure(best, out _, out float products, out float squares);
            float scale = products / squares;
            Measure(scale, out float error, out _, out _);
            if (error >= bestError)
            {
                break;
            }

            (best, bestError) = (scale, error);
        }

        return best;
    }

    /// <summary>What a scale gives: the squared error, the products of weights and numbers, and the squares of the numbers, each summed.</summary>
    private void Measure(float scale, out float error, out float products, out float squares)
    {
        Vector256<float> inverse = Vector256.Create(1 / scale);
        Vector256<float> errors = default;
        Vector256<float> product = default;
        Vector256<float> square = default;
        for (int i = 0; i < units.Length; i += Vector256<float>.Count)
        {
            Vector256<float> unit = Vector256.Create<float>(units.AsSpan(i));
            Vector256<float> number = Vector256.Min(Vector256.Max(Vector256.Round(unit * inverse), Vector256.Create(least)), Vector256.Create(most));
            Vector256<float> difference = unit - (number * scale);
            errors += difference * difference;
            product += unit * number;
            square += number * number;
        }

        (error, products, squares) = (Vector256.Sum(errors), Vector256.Sum(product), Vector256.Sum(square));
    }
}
