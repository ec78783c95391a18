using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Attention of one query over consecutive keys and values: <c>softmax(q · K + bias) · V</c>, unscaled as T5 has it. Keys are taken block by block with a
/// running maximum, so that a row of any length needs no more memory.
/// </summary>
internal static unsafe class AttentionKernel
{
    private const int Block = 128;
    private const int KeyBlock = 4;

    /// <summary>Attends with the widest vectors that heads of that width fill.</summary>
    /// <param name="query">[<paramref name="width"/>].</param>
    /// <param name="keys">[<paramref name="count"/>, width].</param>
    /// <param name="values">[count, width].</param>
    /// <param name="count">At least 1.</param>
    /// <param name="bias">[count], added to the scores; null for none.</param>
    /// <param name="width">The width of the head, a multiple of 8.</param>
    /// <param name="output">[width].</param>
    public static void Attend(float* query, float* keys, float* values, int count, float* bias, int width, float* output)
    {
        if (Vector512.IsHardwareAccelerated && width % Vector512<float>.Count == 0)
            Attend<Simd512, Vector512<float>>(query, keys, values, count, bias, width, output);
        else if (Vector256.IsHardwareAccelerated && width % Vector256<float>.Count == 0)
            Attend<Simd256, Vector256<float>>(query, keys, values, count, bias, width, output);
        else if (Vector128.IsHardwareAccelerated && width % Vector128<float>.Count == 0)
            Attend<Simd128, Vector128<float>>(query, keys, values, count, bias, width, output);
        else
            Attend<SimdScalar, float>(query, keys, values, count, bias, width, output);
    }

    /// <summary>The same in a given vector width, which divides that of the head.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Attend<TSimd, TVector>(float* query, float* keys, float* values, int count, float* bias, int width, float* output)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        float* block = stackalloc float[Block];
        float max = float.NegativeInfinity;
        float sum = 0;
        new Span<float>(output, width).Clear();
        for (int first = 0; first < count; first += Block)
        {
            var scores = new Span<float>(block, Math.Min(Block, count - first));
            Score<TSimd, TVector>(query, keys + ((long)first * width), scores.Length, width, block);
            if (bias is not null)
                TensorPrimitives.Add(scores, new ReadOnlySpan<float>(bias + first, scores.Length), scores);
            float newMax = Math.Max(max, TensorPrimitives.Max<float>(scores));
            TensorPrimitives.Subtract(scores, newMax, scores);
            TensorPrimitives.Exp(scores, scores);
            // What earlier blocks gave was relative to their maximum.
            float kept = first == 0 ? 0 : MathF.Exp(max - newMax);
            sum = (sum * kept) + TensorPrimitives.Sum<float>(scores);
            max = newMax;
            Mix<TSimd, TVector>(values + ((long)first * width), scores.Length, width, block, kept, output);
        }

        var result = new Span<float>(output, width);
        TensorPrimitives.Divide(result, sum, result);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Score<TSimd, TVector>(float* query, float* keys, int count, int width, float* scores)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        int key = 0;
        for (; key + KeyBlock <= count; key += KeyBlock)
        {
            float* first = keys + ((long)key * width);
            (TVector sum0, TVector sum1, TVector sum2, TVector sum3) = (TSimd.Zero, TSimd.Zero, TSimd.Zero, TSimd.Zero);
            for (int at = 0; at < width; at += TSimd.Count)
            {
                TVector part = TSimd.Load(query + at);
                sum0 = TSimd.MultiplyAdd(part, TSimd.Load(first + at), sum0);
                sum1 = TSimd.MultiplyAdd(part, TSimd.Load(first + width + at), sum1);
                sum2 = TSimd.MultiplyAdd(part, TSimd.Load(first + (2 * width) + at), sum2);
                sum3 = TSimd.MultiplyAdd(part, TSimd.Load(first + (3 * width) + at), sum3);
            }

            scores[key] = TSimd.Sum(sum0);
            scores[key + 1] = TSimd.Sum(sum1);
            scores[key + 2] = TSimd.Sum(sum2);
            scores[key + 3] = TSimd.Sum(sum3);
        }

        for (; key < count; key++)
        {
            TVector sum = TSimd.Zero;
            for (int at = 0; at < width; at += TSimd.Count)
                sum = TSimd.MultiplyAdd(TSimd.Load(query + at), TSimd.Load(keys + ((long)key * width) + at), sum);
            scores[key] = TSimd.Sum(sum);
        }
    }

    /// <summary><c>output = output · kept + weights · values</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Mix<TSimd, TVector>(float* values, int count, int width, float* weights, float kept, float* output)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        TVector scale = TSimd.Repeat(kept);
        int at = 0;
        for (; at + (4 * TSimd.Count) <= width; at += 4 * TSimd.Count)
        {
            TVector sum0 = TSimd.MultiplyAdd(scale, TSimd.Load(output + at), TSimd.Zero);
            TVector sum1 = TSimd.MultiplyAdd(scale, TSimd.Load(output + at + TSimd.Count), TSimd.Zero);
            TVector sum2 = TSimd.MultiplyAdd(scale, TSimd.Load(output + at + (2 * TSimd.Count)), TSimd.Zero);
            TVector sum3 = TSimd.MultiplyAdd(scale, TSimd.Load(output + at + (3 * TSimd.Count)), TSimd.Zero);
            float* value = values + at;
            for (int key = 0; key < count; key++, value += width)
            {
                TVector weight = TSimd.Repeat(weights[key]);
                sum0 = TSimd.MultiplyAdd(weight, TSimd.Load(value), sum0);
                sum1 = TSimd.MultiplyAdd(weight, TSimd.Load(value + TSimd.Count), sum1);
                sum2 = TSimd.MultiplyAdd(weight, TSimd.Load(value + (2 * TSimd.Count)), sum2);
                sum3 = TSimd.MultiplyAdd(weight, TSimd.Load(value + (3 * TSimd.Count)), sum3);
            }

            TSimd.Store(sum0, output + at);
            TSimd.Store(sum1, output + at + TSimd.Count);
            TSimd.Store(sum2, output + at + (2 * TSimd.Count));
            TSimd.Store(sum3, output + at + (3 * TSimd.Count));
        }

        for (; at < width; at += TSimd.Count)
        {
            TVector sum = TSimd.MultiplyAdd(scale, TSimd.Load(output + at), TSimd.Zero);
            float* value = values + at;
            for (int key = 0; key < count; key++, value += width)
                sum = TSimd.MultiplyAdd(TSimd.Repeat(weights[key]), TSimd.Load(value), sum);
            TSimd.Store(sum, output + at);
        }
    }
}
