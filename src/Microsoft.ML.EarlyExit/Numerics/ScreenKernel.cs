using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// Products of many short rows of 8-bit weights, with one scale each, with one input of 16 bits, or with one that is the sum of two such: four rows at a time,
/// whose sums are gathered together. The integers are summed exactly, so that a product is the same to the bit whatever the width of vectors.
/// </summary>
internal static unsafe class ScreenKernel
{
    private const int RowBlock = 4;

    // What is asked for so early is there in time: the rows are read at what memory gives.
    private const int BlocksAhead = 2;

    /// <summary>Computes <c>outputs[row] = Σ over parts: inputScales[part] · scales[row] · Σ values[row, k] · inputs[part, k]</c> for rows [first,
    /// end).</summary>
    /// <param name="values">Weights, [rows, width].</param>
    /// <param name="scales">[rows].</param>
    /// <param name="width">Weights of a row.</param>
    /// <param name="first">The first row.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="inputs">The input, or its two parts one behind the other, rounded to no more than <see cref="IntegerKernel.LargestInput"/>.</param>
    /// <param name="inputScales">What a unit of each part stands for.</param>
    /// <param name="parts">1 or 2.</param>
    /// <param name="outputs">Takes the products.</param>
    public static void Multiply(sbyte* values, float* scales, int width, int first, int end, short* inputs, float* inputScales, int parts, float* outputs)
    {
        if (IntegerKernel.UsesVectors512)
            Multiply<Integer512, Vector512<int>>(values, scales, width, first, end, inputs, inputScales, parts, outputs);
        else if (Avx2.IsSupported)
            Multiply<Integer256, Vector256<int>>(values, scales, width, first, end, inputs, inputScales, parts, outputs);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<Integer128, Vector128<int>>(values, scales, width, first, end, inputs, inputScales, parts, outputs);
        else
            Multiply<IntegerScalar, int>(values, scales, width, first, end, inputs, inputScales, parts, outputs);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TSimd, TVector>(
        sbyte* values, float* scales, int width, int first, int end, short* inputs, float* inputScales, int parts, float* outputs)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int row = first;
        for (; row + RowBlock <= end; row += RowBlock)
        {
            sbyte* row0 = values + ((long)row * width);
            Block<TSimd, TVector>(
                row0, row0 + width, row0 + (2L * width), row0 + (3L * width), row0 + ((long)width * RowBlock * BlocksAhead), readsAhead: true, width, inputs,
                inputScales, parts, Vector128.Load(scales + row)).Store(outputs + row);
        }

        int* ids = stackalloc int[RowBlock];
        for (int index = 0; index < end - row; index++)
            ids[index] = row + index;
        MultiplyRows<TSimd, TVector>(values, scales, width, ids, end - row, inputs, inputScales, parts, outputs + row);
    }

    /// <summary>Computes the products of some rows, in their order: the same to the bit.</summary>
    public static void MultiplyRows(
        sbyte* values, float* scales, int width, int* ids, int count, short* inputs, float* inputScales, int parts, float* outputs)
    {
        if (IntegerKernel.UsesVectors512)
            MultiplyRows<Integer512, Vector512<int>>(values, scales, width, ids, count, inputs, inputScales, parts, outputs);
        else if (Avx2.IsSupported)
            MultiplyRows<Integer256, Vector256<int>>(values, scales, width, ids, count, inputs, inputScales, parts, outputs);
        else if (Vector128.IsHardwareAccelerated)
            MultiplyRows<Integer128, Vector128<int>>(values, scales, width, ids, count, inputs, inputScales, parts, outputs);
        else
            MultiplyRows<IntegerScalar, int>(values, scales, width, ids, count, inputs, inputScales, parts, outputs);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRows<TSimd, TVector>(
        sbyte* values, float* scales, int width, int* ids, int count, short* inputs, float* inputScales, int parts, float* outputs)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        float* products = stackalloc float[RowBlock];
        for (int at = 0; at < count; at += RowBlock)
        {
            // The last row stands in for those that an unfinished block lacks.
            int id0 = ids[at], id1 = ids[Math.Min(at + 1, count - 1)], id2 = ids[Math.Min(at + 2, count - 1)], id3 = ids[Math.Min(at + 3, count - 1)];
            for (int next = at + RowBlock; next < Math.Min(at + (2 * RowBlock), count); next++)
                IntegerKernel.Prefetch(values + ((long)ids[next] * width), width);
            sbyte* row0 = values + ((long)id0 * width);
            Vector128<float> total = Block<TSimd, TVector>(
                row0, values + ((long)id1 * width), values + ((long)id2 * width), values + ((long)id3 * width), row0, readsAhead: false, width, inputs,
                inputScales, parts, Vector128.Create(scales[id0], scales[id1], scales[id2], scales[id3]));
            if (at + RowBlock <= count)
            {
                total.Store(outputs + at);
                continue;
            }

            total.Store(products);
            new ReadOnlySpan<float>(products, count - at).CopyTo(new Span<float>(outputs + at, count - at));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Block<TSimd, TVector>(
        sbyte* row0, sbyte* row1, sbyte* row2, sbyte* row3, sbyte* ahead, [ConstantExpected] bool readsAhead, int width, short* inputs, float* inputScales,
        int parts, Vector128<float> rowScales)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        Vector128<float> total = Vector128<float>.Zero, rest = Vector128<float>.Zero;
        for (int start = 0; start < width; start += IntegerKernel.LongestRun, ahead += IntegerKernel.LongestRun * RowBlock)
        {
            int length = Math.Min(IntegerKernel.LongestRun, width - start);
            if (parts == 1)
            {
                total += One<TSimd, TVector>(row0 + start, row1 + start, row2 + start, row3 + start, ahead, readsAhead, length, inputs + start) * rowScales;
                continue;
            }

            (Vector128<float> sums, Vector128<float> restSums) = Two<TSimd, TVector>(
                row0 + start, row1 + start, row2 + start, row3 + start, ahead, readsAhead, length, inputs + start, inputs + width + start);
            total += sums * rowScales;
            rest += restSums * rowScales;
        }

        total *= inputScales[0];
        return parts == 1 ? total : total + (rest * inputScales[1]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> One<TSimd, TVector>(
        sbyte* row0, sbyte* row1, sbyte* row2, sbyte* row3, sbyte* ahead, [ConstantExpected] bool readsAhead, int length, short* input)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
        int at = 0;
        for (; at + TSimd.Count <= length; at += TSimd.Count)
        {
            if (readsAhead)
                IntegerKernel.Prefetch(ahead + (at * RowBlock), TSimd.Count * RowBlock);
            TVector value = TSimd.Load(input + at);
            sums0 = TSimd.MultiplyAdd(TSimd.LoadWide(row0 + at), value, sums0);
            sums1 = TSimd.MultiplyAdd(TSimd.LoadWide(row1 + at), value, sums1);
            sums2 = TSimd.MultiplyAdd(TSimd.LoadWide(row2 + at), value, sums2);
            sums3 = TSimd.MultiplyAdd(TSimd.LoadWide(row3 + at), value, sums3);
        }

        Vector128<int> sums = TSimd.Sum(sums0, sums1, sums2, sums3);
        for (; at < length; at++)
            sums += Vector128.Create(row0[at], row1[at], row2[at], (int)row3[at]) * input[at];
        return Vector128.ConvertToSingle(sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> Sums, Vector128<float> RestSums) Two<TSimd, TVector>(
        sbyte* row0, sbyte* row1, sbyte* row2, sbyte* row3, sbyte* ahead, [ConstantExpected] bool readsAhead, int length, short* input, short* rest)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
        TVector rests0 = TSimd.Zero, rests1 = TSimd.Zero, rests2 = TSimd.Zero, rests3 = TSimd.Zero;
        int at = 0;
        for (; at + TSimd.Count <= length; at += TSimd.Count)
        {
            if (readsAhead)
                IntegerKernel.Prefetch(ahead + (at * RowBlock), TSimd.Count * RowBlock);
            TVector value = TSimd.Load(input + at), restValue = TSimd.Load(rest + at);
            TVector weights = TSimd.LoadWide(row0 + at);
            sums0 = TSimd.MultiplyAdd(weights, value, sums0);
            rests0 = TSimd.MultiplyAdd(weights, restValue, rests0);
            weights = TSimd.LoadWide(row1 + at);
            sums1 = TSimd.MultiplyAdd(weights, value, sums1);
            rests1 = TSimd.MultiplyAdd(weights, restValue, rests1);
            weights = TSimd.LoadWide(row2 + at);
            sums2 = TSimd.MultiplyAdd(weights, value, sums2);
            rests2 = TSimd.MultiplyAdd(weights, restValue, rests2);
            weights = TSimd.LoadWide(row3 + at);
            sums3 = TSimd.MultiplyAdd(weights, value, sums3);
            rests3 = TSimd.MultiplyAdd(weights, restValue, rests3);
        }

        Vector128<int> sums = TSimd.Sum(sums0, sums1, sums2, sums3), restSums = TSimd.Sum(rests0, rests1, rests2, rests3);
        for (; at < length; at++)
        {
            Vector128<int> weights = Vector128.Create(row0[at], row1[at], row2[at], (int)row3[at]);
            sums += weights * input[at];
            restSums += weights * rest[at];
        }

        return (Vector128.ConvertToSingle(sums), Vector128.ConvertToSingle(restSums));
    }
}
