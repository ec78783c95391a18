using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// As <see cref="IntegerKernel"/>, for weights of 4 bits: two in a byte, the lower half first, in two's complement. Four at a time are unpacked from 16 bits,
/// and the inputs lie in the order in which those come out.
/// </summary>
internal static unsafe class NibbleKernel
{
    /// <summary>The largest block: the sum of so many products of the largest inputs with any weights fits 32 bits.</summary>
    public const int LargestBlock = 8192;

    /// <summary>The largest rounded input: its upper half, beside a lower one with a sign, fits 8 bits too.</summary>
    public const int LargestInput = (127 * 256) + 127;

    private const int Chunk = 1024;
    private const int RowGroup = 12;
    private const int InputTile = IntegerKernel.InputTile;

    /// <summary>The bytes of so many rounded inputs.</summary>
    public static long RoundedBytes(int width, int inputCount)
    {
        long bytes = (long)inputCount * width * sizeof(short);
        return Avx2.IsSupported ? bytes + (inputCount % InputTile * (width / NibbleDot.Unit) * sizeof(int)) : bytes;
    }

    /// <summary>
    /// Rounds inputs, whose width is a multiple of <see cref="IntegerKernel.BlockMultiple"/>: see
    /// <see cref="IntegerKernel.Round(float*, int, int, int, int, short*, float*)"/>. Those of a whole group lie in turns, as many of each as are unpacked from
    /// one vector. Others lie as <see cref="NibbleDot"/> takes them where that is supported, else in turns of their own.
    /// </summary>
    public static void Round(float* inputs, int width, int inputCount, int first, int end, short* rounded, float* scales)
    {
        if (Avx2.IsSupported)
            Round<Integer256, Vector256<int>>(inputs, width, inputCount, first, end, rounded, scales);
        else if (Vector128.IsHardwareAccelerated)
            Round<Integer128, Vector128<int>>(inputs, width, inputCount, first, end, rounded, scales);
        else
            Round<IntegerScalar, int>(inputs, width, inputCount, first, end, rounded, scales);
    }

    /// <summary>The same for a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Round<TSimd, TVector>(float* inputs, int width, int inputCount, int first, int end, short* rounded, float* scales)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int unit = 4 * TSimd.Count;
        Span<short> inOrder = stackalloc short[unit];
        for (int group = first; group < end; group++)
        {
            int start = group * InputTile;
            int count = Math.Min(InputTile, inputCount - start);
            for (int index = 0; index < count; index++)
            {
                var input = new ReadOnlySpan<float>(inputs + ((long)(start + index) * width), width);
                scales[start + index] = Rounding.Scale(input, LargestInput, out float inverse);
                if (count < InputTile && Splits<TSimd, TVector>())
                {
                    short* own = rounded + ((long)(start + index) * width);
                    int* added = Added(rounded, width, inputCount, index);
                    for (int at = 0; at < width; at += unit, own += unit, added++)
                    {
                        IntegerKernel.Round(input.Slice(at, unit), inverse, inOrder);
                        fixed (short* values = inOrder)
                            *added = NibbleDot.Split(values, (sbyte*)own);
                    }

                    continue;
                }

                short* target = rounded + ((long)start * width) + (count == InputTile ? index * unit : index * width);
                for (int at = 0; at < width; at += unit, target += count == InputTile ? InputTile * unit : unit)
                {
                    IntegerKernel.Round(input.Slice(at, unit), inverse, inOrder);
                    for (int quarter = 0; quarter < TSimd.Count; quarter++)
                    {
                        target[quarter] = inOrder[4 * quarter];
                        target[quarter + TSimd.Count] = inOrder[(4 * quarter) + 1];
                        target[quarter + (2 * TSimd.Count)] = inOrder[(4 * quarter) + 2];
                        target[quarter + (3 * TSimd.Count)] = inOrder[(4 * quarter) + 3];
                    }
                }
            }
        }
    }

    /// <summary>See <see cref="IntegerKernel.Multiply"/>.</summary>
    public static void Multiply(
        byte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
    {
        if (Avx2.IsSupported)
            Multiply<Integer256, Vector256<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<Integer128, Vector128<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else
            Multiply<IntegerScalar, int>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TSimd, TVector>(
        byte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int blocks = width / block;
        int blocksOfChunk = Math.Max(1, Chunk / block);
        int paired = inputCount - (inputCount % (2 * InputTile));
        int tiled = inputCount - (inputCount % InputTile);
        for (int group = first; group < end; group += RowGroup)
        {
            int groupEnd = Math.Min(group + RowGroup, end);
            for (int chunk = 0; chunk < blocks; chunk += blocksOfChunk)
            {
                int chunkEnd = Math.Min(chunk + blocksOfChunk, blocks);
                for (int input = 0; input < paired; input += 2 * InputTile)
                {
                    for (int row = group; row < groupEnd; row++)
                    {
                        if (input == 0)
                            IntegerKernel.PrefetchNext(values, width / 2, row, chunk * block / 2, blocksOfChunk * block / 2, group, groupEnd, end);
                        TilePair<TSimd, TVector>(
                            values + ((long)row * width / 2), scales + ((long)row * blocks), width, block, chunk, chunkEnd, inputs + ((long)input * width),
                            inputScales + input, outputs + ((long)input * outputStride) + row, outputStride);
                    }
                }

                for (int input = paired; input < tiled; input += InputTile)
                {
                    for (int row = group; row < groupEnd; row++)
                    {
                        if (input == 0)
                            IntegerKernel.PrefetchNext(values, width / 2, row, chunk * block / 2, blocksOfChunk * block / 2, group, groupEnd, end);
                        Tile<TSimd, TVector>(
                            values + ((long)row * width / 2), scales + ((long)row * blocks), block, chunk, chunkEnd, chunkEnd == blocks,
                            inputs + ((long)input * width), inputScales + input, outputs + ((long)input * outputStride) + row, outputStride);
                    }
                }
            }

            for (int input = tiled; input < inputCount; input++)
            {
                short* own = inputs + ((long)input * width);
                float* products = outputs + ((long)input * outputStride);
                if (Splits<TSimd, TVector>())
                {
                    NibbleDot.Multiply(
                        values, scales, width, block, group, groupEnd, (sbyte*)own, Added(inputs, width, inputCount, input - tiled), inputScales[input],
                        products);
                    continue;
                }

                for (int row = group; row < groupEnd; row++)
                {
                    products[row] = inputScales[input] * Dot<TSimd, TVector>(
                        values + ((long)row * width / 2), scales + ((long)row * blocks), block, blocks, own);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Splits<TSimd, TVector>()
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct => Avx2.IsSupported && 4 * TSimd.Count == NibbleDot.Unit;

    // Behind all inputs.
    private static int* Added(short* rounded, int width, int inputCount, int index) =>
        (int*)(rounded + ((long)inputCount * width)) + (index * (width / NibbleDot.Unit));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot<TSimd, TVector>(byte* values, float* scales, int block, int blocks, short* input)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        float total = 0;
        int at = 0;
        for (; at + 4 <= blocks; at += 4, values += 2 * block, input += 4 * block)
        {
            Vector128<int> sums = TSimd.Sum(
                Block<TSimd, TVector>(values, input, block), Block<TSimd, TVector>(values + (block / 2), input + block, block),
                Block<TSimd, TVector>(values + block, input + (2 * block), block),
                Block<TSimd, TVector>(values + (3 * block / 2), input + (3 * block), block));
            Vector128<float> products = Vector128.ConvertToSingle(sums) * Vector128.Load(scales + at);
            total = total + products[0] + products[1] + products[2] + products[3];
        }

        for (; at < blocks; at++, values += block / 2, input += block)
            total += TSimd.Sum(Block<TSimd, TVector>(values, input, block)) * scales[at];
        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Block<TSimd, TVector>(byte* values, short* input, int length)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        TVector sums = TSimd.Zero, others = TSimd.Zero;
        for (int at = 0; at < length; at += 4 * TSimd.Count)
        {
            TVector packed = TSimd.Load(values + (at / 2));
            sums = TSimd.MultiplyAdd(TSimd.Nibble(packed, 0), TSimd.Load(input + at), sums);
            others = TSimd.MultiplyAdd(TSimd.Nibble(packed, 1), TSimd.Load(input + at + TSimd.Count), others);
            sums = TSimd.MultiplyAdd(TSimd.Nibble(packed, 2), TSimd.Load(input + at + (2 * TSimd.Count)), sums);
            others = TSimd.MultiplyAdd(TSimd.Nibble(packed, 3), TSimd.Load(input + at + (3 * TSimd.Count)), others);
        }

        return TSimd.Add(sums, others);
    }

    /// <summary>One row and the eight inputs of two tiles; the sums so far are in the outputs but for the first chunk.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TilePair<TSimd, TVector>(
        byte* values, float* scales, int width, int block, int firstBlock, int endBlock, short* inputs, float* inputScales, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int count = TSimd.Count;
        // From an input of the first tile to that of the second.
        nint next = (nint)InputTile * width;
        float* others = outputs + ((long)InputTile * outputStride);
        Vector256<float> total = firstBlock == 0
            ? Vector256<float>.Zero
            : Vector256.Create(IntegerKernel.Gather(outputs, outputStride), IntegerKernel.Gather(others, outputStride));
        byte* weights = values + (firstBlock * block / 2);
        short* tile = inputs + (firstBlock * block * InputTile);
        for (int at = firstBlock; at < endBlock; at++)
        {
            TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
            TVector sums4 = TSimd.Zero, sums5 = TSimd.Zero, sums6 = TSimd.Zero, sums7 = TSimd.Zero;
            for (byte* end = weights + (block / 2); weights < end; weights += 2 * count, tile += InputTile * 4 * count)
            {
                TVector packed = TSimd.Load(weights);
                TVector weight = TSimd.Nibble(packed, 0);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (4 * count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (8 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (12 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (4 * count)), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (8 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (12 * count)), sums7);
                weight = TSimd.Nibble(packed, 1);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + count), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (5 * count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (9 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (13 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + count), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (5 * count)), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (9 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (13 * count)), sums7);
                weight = TSimd.Nibble(packed, 2);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (2 * count)), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (6 * count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (10 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (14 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (2 * count)), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (6 * count)), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (10 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (14 * count)), sums7);
                weight = TSimd.Nibble(packed, 3);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (3 * count)), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (7 * count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (11 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (15 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (3 * count)), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (7 * count)), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (11 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (15 * count)), sums7);
            }

            total += Vector256.ConvertToSingle(TSimd.Sum(sums0, sums1, sums2, sums3, sums4, sums5, sums6, sums7)) * scales[at];
        }

        if (endBlock == width / block)
            total *= Vector256.Load(inputScales);
        IntegerKernel.Scatter(total.GetLower(), outputs, outputStride);
        IntegerKernel.Scatter(total.GetUpper(), others, outputStride);
    }

    /// <summary>One row and four inputs; the sums so far are in the outputs but for the first chunk.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TSimd, TVector>(
        byte* values, float* scales, int block, int firstBlock, int endBlock, bool isLast, short* inputs, float* inputScales, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        float* products1 = outputs + outputStride;
        float* products2 = products1 + outputStride;
        float* products3 = products2 + outputStride;
        Vector128<float> total = firstBlock == 0
            ? Vector128<float>.Zero
            : Vector128.Create(outputs[0], products1[0], products2[0], products3[0]);
        for (int at = firstBlock; at < endBlock; at++)
        {
            TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
            short* tile = inputs + (at * block * InputTile);
            for (int start = at * block; start < (at + 1) * block; start += 4 * TSimd.Count, tile += InputTile * 4 * TSimd.Count)
            {
                TVector packed = TSimd.Load(values + (start / 2));
                TVector weight = TSimd.Nibble(packed, 0);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (4 * TSimd.Count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (8 * TSimd.Count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (12 * TSimd.Count)), sums3);
                weight = TSimd.Nibble(packed, 1);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + TSimd.Count), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (5 * TSimd.Count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (9 * TSimd.Count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (13 * TSimd.Count)), sums3);
                weight = TSimd.Nibble(packed, 2);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (2 * TSimd.Count)), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (6 * TSimd.Count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (10 * TSimd.Count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (14 * TSimd.Count)), sums3);
                weight = TSimd.Nibble(packed, 3);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (3 * TSimd.Count)), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (7 * TSimd.Count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (11 * TSimd.Count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (15 * TSimd.Count)), sums3);
            }

            total += Vector128.ConvertToSingle(TSimd.Sum(sums0, sums1, sums2, sums3)) * scales[at];
        }

        if (isLast)
            total *= Vector128.Load(inputScales);
        (outputs[0], products1[0], products2[0], products3[0]) = (total[0], total[1], total[2], total[3]);
    }
}
