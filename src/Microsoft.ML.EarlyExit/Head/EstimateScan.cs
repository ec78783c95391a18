using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>Looks through estimates of many logits, each of which is off by no more than its row's error times a number.</summary>
internal static class EstimateScan
{
    // Numbers that stay in the nearest cache from one pass over them to the next.
    private const int ExponentialsAtATime = 2048;

    // Sums of so many floats are added up in double precision.
    private const int Chunk = 512;

    /// <summary>The second largest of what the logits are at least.</summary>
    /// <param name="estimates">The estimates.</param>
    /// <param name="errors">The rows' errors.</param>
    /// <param name="norm">What they are multiplied with.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float SecondLeast(ReadOnlySpan<float> estimates, ReadOnlySpan<float> errors, float norm)
    {
        errors = errors[..estimates.Length];
        float largest = float.NegativeInfinity, second = float.NegativeInfinity;
        int at = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref float first = ref MemoryMarshal.GetReference(estimates);
            ref float firstError = ref MemoryMarshal.GetReference(errors);
            Vector256<float> factor = Vector256.Create(-norm);
            Vector256<float> most = Vector256.Create(float.NegativeInfinity), next = most;
            for (; at + Vector256<float>.Count <= estimates.Length; at += Vector256<float>.Count)
            {
                Vector256<float> least = Vector256.MultiplyAddEstimate(
                    Vector256.LoadUnsafe(ref firstError, (nuint)at), factor, Vector256.LoadUnsafe(ref first, (nuint)at));
                next = Vector256.MaxNative(next, Vector256.MinNative(most, least));
                most = Vector256.MaxNative(most, least);
            }

            for (int lane = 0; lane < Vector256<float>.Count; lane++)
            {
                Take(most[lane]);
                Take(next[lane]);
            }
        }

        for (; at < estimates.Length; at++)
            Take(float.MultiplyAddEstimate(errors[at], -norm, estimates[at]));
        return second;

        void Take(float value)
        {
            if (value > largest)
                (largest, second) = (value, largest);
            else if (value > second)
                second = value;
        }
    }

    /// <summary>How many logits are at least as large as a border for sure.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int CountSurely(ReadOnlySpan<float> estimates, ReadOnlySpan<float> errors, float norm, float border)
    {
        errors = errors[..estimates.Length];
        int count = 0;
        int at = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref float first = ref MemoryMarshal.GetReference(estimates);
            ref float firstError = ref MemoryMarshal.GetReference(errors);
            Vector256<float> factor = Vector256.Create(-norm), borders = Vector256.Create(border);
            Vector256<int> counts = Vector256<int>.Zero;
            for (; at + Vector256<float>.Count <= estimates.Length; at += Vector256<float>.Count)
            {
                Vector256<float> least = Vector256.MultiplyAddEstimate(
                    Vector256.LoadUnsafe(ref firstError, (nuint)at), factor, Vector256.LoadUnsafe(ref first, (nuint)at));
                counts -= Vector256.GreaterThanOrEqual(least, borders).AsInt32();
            }

            count = Vector256.Sum(counts);
        }

        for (; at < estimates.Length; at++)
            count += float.MultiplyAddEstimate(errors[at], -norm, estimates[at]) >= border ? 1 : 0;
        return count;
    }

    /// <summary>Writes the places of logits that can be as large as a border, in order.</summary>
    /// <param name="estimates">The estimates.</param>
    /// <param name="errors">The rows' errors.</param>
    /// <param name="norm">What they are multiplied with.</param>
    /// <param name="border">The border.</param>
    /// <param name="places">Takes the places; as long as the estimates are many.</param>
    /// <returns>How many.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int FindPossible(ReadOnlySpan<float> estimates, ReadOnlySpan<float> errors, float norm, float border, Span<int> places)
    {
        errors = errors[..estimates.Length];
        int count = 0;
        int at = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref float first = ref MemoryMarshal.GetReference(estimates);
            ref float firstError = ref MemoryMarshal.GetReference(errors);
            Vector256<float> factor = Vector256.Create(norm), borders = Vector256.Create(border);
            for (; at + Vector256<float>.Count <= estimates.Length; at += Vector256<float>.Count)
            {
                Vector256<float> most = Vector256.MultiplyAddEstimate(
                    Vector256.LoadUnsafe(ref firstError, (nuint)at), factor, Vector256.LoadUnsafe(ref first, (nuint)at));
                for (uint found = Vector256.GreaterThanOrEqual(most, borders).ExtractMostSignificantBits(); found != 0; found &= found - 1)
                    places[count++] = at + (int)uint.TrailingZeroCount(found);
            }
        }

        for (; at < estimates.Length; at++)
        {
            if (float.MultiplyAddEstimate(errors[at], norm, estimates[at]) >= border)
                places[count++] = at;
        }

        return count;
    }

    /// <summary>Computes <c>exp(z - max z)</c> of all estimates.</summary>
    /// <returns>The largest estimate.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Exponentials(ReadOnlySpan<float> estimates, Span<float> exponentials)
    {
        float largest = TensorPrimitives.Max(estimates);
        for (int start = 0; start < estimates.Length; start += ExponentialsAtATime)
        {
            ReadOnlySpan<float> part = estimates.Slice(start, Math.Min(ExponentialsAtATime, estimates.Length - start));
            Span<float> results = exponentials.Slice(start, part.Length);
            TensorPrimitives.Subtract(part, largest, results);
            TensorPrimitives.Exp(results, results);
        }

        return largest;
    }

    /// <summary>Sums of exponentials <c>e</c> of estimates, and of what they can be off for errors <c>ε</c>; those that are 0 have none.</summary>
    /// <returns><c>Σ e</c>, <c>Σ e ε</c>, <c>Σ (e ε)²</c> and <c>Σ e ε²</c>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (double Sum, double Errors, double Squares, double Excess) AddUp(ReadOnlySpan<float> exponentials, ReadOnlySpan<float> errors)
    {
        errors = errors[..exponentials.Length];
        (double sum, double sumOfErrors, double squares, double excess) = (0, 0, 0, 0);
        for (int start = 0; start < exponentials.Length; start += Chunk)
        {
            int end = Math.Min(start + Chunk, exponentials.Length);
            int at = start;
            if (Vector256.IsHardwareAccelerated)
            {
                ref float first = ref MemoryMarshal.GetReference(exponentials);
                ref float firstError = ref MemoryMarshal.GetReference(errors);
                Vector256<float> sums = Vector256<float>.Zero, sumsOfErrors = sums, sumsOfSquares = sums, excesses = sums;
                for (; at + Vector256<float>.Count <= end; at += Vector256<float>.Count)
                {
                    Vector256<float> exponential = Vector256.LoadUnsafe(ref first, (nuint)at);

                    // An error can be infinite, and nothing times that is no number.
                    Vector256<float> error = Vector256.LoadUnsafe(ref firstError, (nuint)at) & Vector256.GreaterThan(exponential, Vector256<float>.Zero);
                    Vector256<float> off = exponential * error;
                    sums += exponential;
                    sumsOfErrors += off;
                    sumsOfSquares += off * off;
                    excesses += off * error;
                }

                sum += Vector256.Sum(sums);
                sumOfErrors += Vector256.Sum(sumsOfErrors);
                squares += Vector256.Sum(sumsOfSquares);
                excess += Vector256.Sum(excesses);
            }

            for (; at < end; at++)
            {
                if (!(exponentials[at] > 0))
                    continue;
                double off = (double)exponentials[at] * errors[at];
                sum += exponentials[at];
                sumOfErrors += off;
                squares += off * off;
                excess += off * errors[at];
            }
        }

        return (sum, sumOfErrors, squares, excess);
    }

    /// <summary>The sum of squares of those numbers that are below a border.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double SquaresBelow(ReadOnlySpan<float> values, float border)
    {
        double squares = 0;
        for (int start = 0; start < values.Length; start += Chunk)
        {
            int end = Math.Min(start + Chunk, values.Length);
            int at = start;
            if (Vector256.IsHardwareAccelerated)
            {
                ref float first = ref MemoryMarshal.GetReference(values);
                Vector256<float> borders = Vector256.Create(border), sums = Vector256<float>.Zero;
                for (; at + Vector256<float>.Count <= end; at += Vector256<float>.Count)
                {
                    Vector256<float> value = Vector256.LoadUnsafe(ref first, (nuint)at);
                    value &= Vector256.LessThan(value, borders);
                    sums += value * value;
                }

                squares += Vector256.Sum(sums);
            }

            for (; at < end; at++)
                squares += values[at] < border ? (double)values[at] * values[at] : 0;
        }

        return squares;
    }
}
