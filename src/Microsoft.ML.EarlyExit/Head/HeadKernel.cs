using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>
/// Products of many weight rows with a few inputs. Four rows are read at a time and used for all inputs; each product is one running sum over the width,
/// whatever the number of inputs, so that a row's logits do not depend on its neighbours.
/// </summary>
internal static unsafe class HeadKernel
{
    private const int RowBlock = 4;

    // Of a row that is needed next; the processor reads on by itself.
    private const long BeginningBytes = 1024;

    /// <summary>
    /// Computes <c>logits[n, row] = inputs[n] · weights[row]</c> for rows [first, end): weights [rows, width], inputs [inputCount, width], logits
    /// [inputCount, logitsStride].
    /// </summary>
    public static void Multiply<TRows>(void* weights, int width, int first, int end, float* inputs, int inputCount, float* logits, int logitsStride)
        where TRows : struct, IHeadRows
    {
        if (Vector512.IsHardwareAccelerated)
            Multiply<TRows, Simd512, Vector512<float>>(weights, width, first, end, inputs, inputCount, logits, logitsStride);
        else if (Vector256.IsHardwareAccelerated)
            Multiply<TRows, Simd256, Vector256<float>>(weights, width, first, end, inputs, inputCount, logits, logitsStride);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<TRows, Simd128, Vector128<float>>(weights, width, first, end, inputs, inputCount, logits, logitsStride);
        else
            Multiply<TRows, SimdScalar, float>(weights, width, first, end, inputs, inputCount, logits, logitsStride);
    }

    /// <summary>Computes <c>products[at] = input · weights[ids[at]]</c>: what the product with all rows gives for these, to the bit.</summary>
    public static void MultiplyRows<TRows>(void* weights, int width, int* ids, int count, float* input, float* products)
        where TRows : struct, IHeadRows
    {
        if (Vector512.IsHardwareAccelerated)
            MultiplyRows<TRows, Simd512, Vector512<float>>(weights, width, ids, count, input, products);
        else if (Vector256.IsHardwareAccelerated)
            MultiplyRows<TRows, Simd256, Vector256<float>>(weights, width, ids, count, input, products);
        else if (Vector128.IsHardwareAccelerated)
            MultiplyRows<TRows, Simd128, Vector128<float>>(weights, width, ids, count, input, products);
        else
            MultiplyRows<TRows, SimdScalar, float>(weights, width, ids, count, input, products);
    }

    /// <summary>The same in a given vector width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRows<TRows, TSimd, TVector>(void* weights, int width, int* ids, int count, float* input, float* products)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        long rowBytes = (long)width * TRows.ElementBytes;
        int at = 0;
        for (; at + RowBlock <= count; at += RowBlock)
        {
            // Rows that lie apart each begin where nothing was read ahead.
            for (int next = at + RowBlock; next < Math.Min(at + (2 * RowBlock), count); next++)
                IntegerKernel.Prefetch(Row(next), (int)Math.Min(rowBytes, BeginningBytes));
            Block4x1<TRows, TSimd, TVector>(Row(at), Row(at + 1), Row(at + 2), Row(at + 3), width, input, products + at);
        }

        for (; at < count; at++)
            products[at] = Dot<TRows, TSimd, TVector>(Row(at), input, width);

        byte* Row(int place) => (byte*)weights + (ids[place] * rowBytes);
    }

    /// <summary>The same in a given vector width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TRows, TSimd, TVector>(
        void* weights, int width, int first, int end, float* inputs, int inputCount, float* logits, int logitsStride)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        long rowBytes = (long)width * TRows.ElementBytes;
        int row = first;
        for (; row + RowBlock <= end; row += RowBlock)
        {
            byte* rows = (byte*)weights + (row * rowBytes);
            int input = 0;
            if (TSimd.HasManyRegisters)
            {
                for (; input + 4 <= inputCount; input += 4)
                    Block4x4<TRows, TSimd, TVector>(rows, width, inputs + ((long)input * width), logits + ((long)input * logitsStride) + row, logitsStride);
            }
            else
            {
                for (; input + 2 <= inputCount; input += 2)
                {
                    // Each pair of inputs has one row of the next block read ahead: the first pass over a block waits for memory, the others need none.
                    int next = row + RowBlock + (input / 2 % RowBlock);
                    Block4x2<TRows, TSimd, TVector>(
                        rows, (byte*)weights + (Math.Min(next, end - 1) * rowBytes), width, inputs + ((long)input * width),
                        logits + ((long)input * logitsStride) + row, logitsStride);
                }
            }

            for (; input < inputCount; input++)
            {
                Block4x1<TRows, TSimd, TVector>(
                    rows, rows + rowBytes, rows + (2 * rowBytes), rows + (3 * rowBytes), width, inputs + ((long)input * width),
                    logits + ((long)input * logitsStride) + row);
            }
        }

        for (; row < end; row++)
        {
            for (int input = 0; input < inputCount; input++)
            {
                float* values = inputs + ((long)input * width);
                logits[((long)input * logitsStride) + row] = Dot<TRows, TSimd, TVector>((byte*)weights + (row * rowBytes), values, width);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot<TRows, TSimd, TVector>(byte* left, float* right, int width)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        TVector sum = TSimd.Zero;
        int at = 0;
        for (; at + TSimd.Count <= width; at += TSimd.Count)
            sum = TSimd.MultiplyAdd(TRows.Load<TSimd, TVector>(left, at), TSimd.Load(right + at), sum);
        return TSimd.Sum(sum) + Tail<TRows>(left, right, at, width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block4x1<TRows, TSimd, TVector>(byte* row0, byte* row1, byte* row2, byte* row3, int width, float* input, float* logits)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        TVector sum0 = TSimd.Zero, sum1 = TSimd.Zero, sum2 = TSimd.Zero, sum3 = TSimd.Zero;
        int at = 0;
        for (; at + TSimd.Count <= width; at += TSimd.Count)
        {
            TVector value = TSimd.Load(input + at);
            sum0 = TSimd.MultiplyAdd(TRows.Load<TSimd, TVector>(row0, at), value, sum0);
            sum1 = TSimd.MultiplyAdd(TRows.Load<TSimd, TVector>(row1, at), value, sum1);
            sum2 = TSimd.MultiplyAdd(TRows.Load<TSimd, TVector>(row2, at), value, sum2);
            sum3 = TSimd.MultiplyAdd(TRows.Load<TSimd, TVector>(row3, at), value, sum3);
        }

        logits[0] = TSimd.Sum(sum0) + Tail<TRows>(row0, input, at, width);
        logits[1] = TSimd.Sum(sum1) + Tail<TRows>(row1, input, at, width);
        logits[2] = TSimd.Sum(sum2) + Tail<TRows>(row2, input, at, width);
        logits[3] = TSimd.Sum(sum3) + Tail<TRows>(row3, input, at, width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block4x2<TRows, TSimd, TVector>(byte* rows, byte* ahead, int width, float* inputs, float* logits, int logitsStride)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        TVector sum00 = TSimd.Zero, sum01 = TSimd.Zero, sum02 = TSimd.Zero, sum03 = TSimd.Zero;
        TVector sum10 = TSimd.Zero, sum11 = TSimd.Zero, sum12 = TSimd.Zero, sum13 = TSimd.Zero;
        long rowBytes = (long)width * TRows.ElementBytes;
        byte* row1 = rows + rowBytes;
        byte* row2 = row1 + rowBytes;
        byte* row3 = row2 + rowBytes;
        float* input1 = inputs + width;
        int at = 0;
        for (; at + TSimd.Count <= width; at += TSimd.Count)
        {
            if (Sse.IsSupported)
                Sse.Prefetch1(ahead + ((long)at * TRows.ElementBytes));
            TVector value0 = TSimd.Load(inputs + at), value1 = TSimd.Load(input1 + at);
            TVector weight = TRows.Load<TSimd, TVector>(rows, at);
            sum00 = TSimd.MultiplyAdd(weight, value0, sum00);
            sum10 = TSimd.MultiplyAdd(weight, value1, sum10);
            weight = TRows.Load<TSimd, TVector>(row1, at);
            sum01 = TSimd.MultiplyAdd(weight, value0, sum01);
            sum11 = TSimd.MultiplyAdd(weight, value1, sum11);
            weight = TRows.Load<TSimd, TVector>(row2, at);
            sum02 = TSimd.MultiplyAdd(weight, value0, sum02);
            sum12 = TSimd.MultiplyAdd(weight, value1, sum12);
            weight = TRows.Load<TSimd, TVector>(row3, at);
            sum03 = TSimd.MultiplyAdd(weight, value0, sum03);
            sum13 = TSimd.MultiplyAdd(weight, value1, sum13);
        }

        Store<TRows, TSimd, TVector>(rows, width, inputs, at, sum00, sum01, sum02, sum03, logits);
        Store<TRows, TSimd, TVector>(rows, width, input1, at, sum10, sum11, sum12, sum13, logits + logitsStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block4x4<TRows, TSimd, TVector>(byte* rows, int width, float* inputs, float* logits, int logitsStride)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        TVector sum00 = TSimd.Zero, sum01 = TSimd.Zero, sum02 = TSimd.Zero, sum03 = TSimd.Zero;
        TVector sum10 = TSimd.Zero, sum11 = TSimd.Zero, sum12 = TSimd.Zero, sum13 = TSimd.Zero;
        TVector sum20 = TSimd.Zero, sum21 = TSimd.Zero, sum22 = TSimd.Zero, sum23 = TSimd.Zero;
        TVector sum30 = TSimd.Zero, sum31 = TSimd.Zero, sum32 = TSimd.Zero, sum33 = TSimd.Zero;
        long rowBytes = (long)width * TRows.ElementBytes;
        byte* row1 = rows + rowBytes;
        byte* row2 = row1 + rowBytes;
        byte* row3 = row2 + rowBytes;
        float* input1 = inputs + width;
        float* input2 = input1 + width;
        float* input3 = input2 + width;
        int at = 0;
        for (; at + TSimd.Count <= width; at += TSimd.Count)
        {
            TVector weight0 = TRows.Load<TSimd, TVector>(rows, at), weight1 = TRows.Load<TSimd, TVector>(row1, at);
            TVector weight2 = TRows.Load<TSimd, TVector>(row2, at), weight3 = TRows.Load<TSimd, TVector>(row3, at);
            TVector value = TSimd.Load(inputs + at);
            sum00 = TSimd.MultiplyAdd(weight0, value, sum00);
            sum01 = TSimd.MultiplyAdd(weight1, value, sum01);
            sum02 = TSimd.MultiplyAdd(weight2, value, sum02);
            sum03 = TSimd.MultiplyAdd(weight3, value, sum03);
            value = TSimd.Load(input1 + at);
            sum10 = TSimd.MultiplyAdd(weight0, value, sum10);
            sum11 = TSimd.MultiplyAdd(weight1, value, sum11);
            sum12 = TSimd.MultiplyAdd(weight2, value, sum12);
            sum13 = TSimd.MultiplyAdd(weight3, value, sum13);
            value = TSimd.Load(input2 + at);
            sum20 = TSimd.MultiplyAdd(weight0, value, sum20);
            sum21 = TSimd.MultiplyAdd(weight1, value, sum21);
            sum22 = TSimd.MultiplyAdd(weight2, value, sum22);
            sum23 = TSimd.MultiplyAdd(weight3, value, sum23);
            value = TSimd.Load(input3 + at);
            sum30 = TSimd.MultiplyAdd(weight0, value, sum30);
            sum31 = TSimd.MultiplyAdd(weight1, value, sum31);
            sum32 = TSimd.MultiplyAdd(weight2, value, sum32);
            sum33 = TSimd.MultiplyAdd(weight3, value, sum33);
        }

        Store<TRows, TSimd, TVector>(rows, width, inputs, at, sum00, sum01, sum02, sum03, logits);
        Store<TRows, TSimd, TVector>(rows, width, input1, at, sum10, sum11, sum12, sum13, logits + logitsStride);
        Store<TRows, TSimd, TVector>(rows, width, input2, at, sum20, sum21, sum22, sum23, logits + (2L * logitsStride));
        Store<TRows, TSimd, TVector>(rows, width, input3, at, sum30, sum31, sum32, sum33, logits + (3L * logitsStride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TRows, TSimd, TVector>(
        byte* rows, int width, float* input, int at, TVector sum0, TVector sum1, TVector sum2, TVector sum3, float* logits)
        where TRows : struct, IHeadRows
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        long rowBytes = (long)width * TRows.ElementBytes;
        logits[0] = TSimd.Sum(sum0) + Tail<TRows>(rows, input, at, width);
        logits[1] = TSimd.Sum(sum1) + Tail<TRows>(rows + rowBytes, input, at, width);
        logits[2] = TSimd.Sum(sum2) + Tail<TRows>(rows + (2 * rowBytes), input, at, width);
        logits[3] = TSimd.Sum(sum3) + Tail<TRows>(rows + (3 * rowBytes), input, at, width);
    }

    private static float Tail<TRows>(byte* left, float* right, int at, int width)
        where TRows : struct, IHeadRows
    {
        float sum = 0;
        for (; at < width; at++)
            sum = float.MultiplyAddEstimate(TRows.Load<SimdScalar, float>(left, at), right[at], sum);
        return sum;
    }
}
