using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// Products of rows of 8-bit weights, in blocks that have a scale each, with inputs that were rounded to 16 bits: what is bound by the bytes of the weights.
/// The integers are summed exactly and the blocks' floats in order, so that a product is the same to the bit whatever the width of vectors and the number of
/// inputs.
/// </summary>
internal static unsafe class IntegerKernel
{
    /// <summary>The largest rounded input: the sum of a <see cref="LongestRun"/> of products with any weights fits 32 bits.</summary>
    public const int LargestInput = 32766;

    private const int LongestRun = 512;

    // Inputs of a tile that stay in the first cache beside a few rows of weights.
    private const int Chunk = 1024;
    private const int RowGroup = 12;
    private const int InputTile = 4;

    // The first pass over a row waits for memory; so far ahead it does not.
    private const int Ahead = 1024;

    /// <summary>Rounds an input to 16 bits.</summary>
    /// <returns>What a unit of the rounded ones stands for; NaN, with zeros, where the input has a value that is not finite.</returns>
    public static float Round(ReadOnlySpan<float> input, Span<short> rounded)
    {
        float scale = Rounding.Scale(input, LargestInput, out float inverse);
        ref float source = ref MemoryMarshal.GetReference(input);
        int at = 0;
        if (Avx2.IsSupported)
        {
            Vector256<float> factor = Vector256.Create(inverse);
            for (; at + Vector256<short>.Count <= input.Length; at += Vector256<short>.Count)
            {
                Vector256<int> lower = Avx.ConvertToVector256Int32(Vector256.LoadUnsafe(ref source, (nuint)at) * factor);
                Vector256<int> upper = Avx.ConvertToVector256Int32(Vector256.LoadUnsafe(ref source, (nuint)at + 8) * factor);
                Avx2.Permute4x64(Avx2.PackSignedSaturate(lower, upper).AsInt64(), 0b11_01_10_00).AsInt16().CopyTo(rounded[at..]);
            }
        }

        for (; at < input.Length; at++)
            rounded[at] = (short)MathF.Round(input[at] * inverse);
        return scale;
    }

    /// <summary>
    /// Computes <c>outputs[n, row] = inputScales[n] · Σ scales[row, block] · Σ values[row, k] · inputs[n, k]</c> for rows [first, end).
    /// </summary>
    /// <param name="values">Weights, [rows, width].</param>
    /// <param name="scales">[rows, width / block].</param>
    /// <param name="width">Weights of a row.</param>
    /// <param name="block">Weights that have one scale; divides <paramref name="width"/>.</param>
    /// <param name="first">The first row.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="inputs">Rounded inputs, [inputCount, width].</param>
    /// <param name="inputScales">[inputCount].</param>
    /// <param name="inputCount">How many inputs.</param>
    /// <param name="outputs">Takes the products, [inputCount, outputStride].</param>
    /// <param name="outputStride">From the products of one input to those of the next.</param>
    public static void Multiply(
        sbyte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
    {
        if (Avx512BW.IsSupported && Vector512.IsHardwareAccelerated && !AvxVnni.IsSupported)
            Multiply<Integer512, Vector512<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else if (Avx2.IsSupported)
            Multiply<Integer256, Vector256<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<Integer128, Vector128<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else
            Multiply<IntegerScalar, int>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
    }

    /// <summary>The same in a given width of vectors.</summary>
    public static void Multiply<TSimd, TVector>(
        sbyte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        var rows = new Rows(values, scales, width, block);
        for (int group = first; group < end; group += RowGroup)
        {
            int groupEnd = Math.Min(group + RowGroup, end);
            int tiled = inputCount - (inputCount % InputTile);
            for (int chunk = 0; chunk < rows.RunCount && tiled > 0; chunk += rows.RunsOfChunk)
            {
                int chunkEnd = Math.Min(chunk + rows.RunsOfChunk, rows.RunCount);
                for (int input = 0; input < tiled; input += InputTile)
                {
                    short* tile = inputs + ((long)input * width);
                    float* products = outputs + ((long)input * outputStride);
                    int row = group;
                    for (; row + 2 <= groupEnd; row += 2)
                        Tile<TSimd, TVector>(rows, row, chunk, chunkEnd, tile, inputScales + input, products, outputStride);
                    if (row < groupEnd)
                    {
                        for (int index = 0; index < InputTile && chunk == 0; index++)
                        {
                            products[((long)index * outputStride) + row] =
                                inputScales[input + index] * Dot<TSimd, TVector>(rows, row, tile + ((long)index * width));
                        }
                    }
                }
            }

            for (int row = group; row < groupEnd; row++)
            {
                for (int input = tiled; input < inputCount; input++)
                    outputs[((long)input * outputStride) + row] = inputScales[input] * Dot<TSimd, TVector>(rows, row, inputs + ((long)input * width));
            }
        }
    }

    private static float Dot<TSimd, TVector>(in Rows rows, int row, short* input)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        sbyte* values = rows.Values + ((long)row * rows.Width);
        float* scales = rows.Scales + ((long)row * rows.BlockCount);
        float total = 0;
        int run = 0;
        int length = rows.Run;
        if (rows.RunsOfBlock == 1 && length % TSimd.Count == 0)
        {
            for (; run + 4 <= rows.RunCount; run += 4)
            {
                TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
                sbyte* values0 = values + (run * length);
                short* input0 = input + (run * length);
                for (int at = 0; at < length; at += TSimd.Count)
                {
                    if (Sse.IsSupported)
                        Sse.Prefetch0(values0 + (at * 4) + Ahead);
                    sums0 = TSimd.MultiplyAdd(TSimd.LoadWide(values0 + at), TSimd.Load(input0 + at), sums0);
                    sums1 = TSimd.MultiplyAdd(TSimd.LoadWide(values0 + at + length), TSimd.Load(input0 + at + length), sums1);
                    sums2 = TSimd.MultiplyAdd(TSimd.LoadWide(values0 + at + (2 * length)), TSimd.Load(input0 + at + (2 * length)), sums2);
                    sums3 = TSimd.MultiplyAdd(TSimd.LoadWide(values0 + at + (3 * length)), TSimd.Load(input0 + at + (3 * length)), sums3);
                }

                Vector128<float> products = Vector128.ConvertToSingle(TSimd.Sum(sums0, sums1, sums2, sums3)) * Vector128.Load(scales + run);
                total = total + products[0] + products[1] + products[2] + products[3];
            }
        }

        for (; run < rows.RunCount; run++)
        {
            int start = rows.Start(run, out length, out int block);
            TVector sums = TSimd.Zero;
            int at = start;
            for (; at + TSimd.Count <= start + length; at += TSimd.Count)
                sums = TSimd.MultiplyAdd(TSimd.LoadWide(values + at), TSimd.Load(input + at), sums);
            int sum = TSimd.Sum(sums);
            for (; at < start + length; at++)
                sum += values[at] * input[at];
            total += sum * scales[block];
        }

        return total;
    }

    /// <summary>Two rows and four inputs; the sums so far are in the outputs but for the first chunk.</summary>
    private static void Tile<TSimd, TVector>(
        in Rows rows, int row, int firstRun, int endRun, short* input0, float* inputScales, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        sbyte* values0 = rows.Values + ((long)row * rows.Width);
        sbyte* values1 = values0 + rows.Width;
        float* scales = rows.Scales + ((long)row * rows.BlockCount);
        short* input1 = input0 + rows.Width;
        short* input2 = input1 + rows.Width;
        short* input3 = input2 + rows.Width;
        float* products0 = outputs + row;
        float* products1 = products0 + outputStride;
        float* products2 = products1 + outputStride;
        float* products3 = products2 + outputStride;
        Vector128<float> total0 = Vector128<float>.Zero, total1 = Vector128<float>.Zero;
        if (firstRun > 0)
        {
            total0 = Vector128.Create(products0[0], products1[0], products2[0], products3[0]);
            total1 = Vector128.Create(products0[1], products1[1], products2[1], products3[1]);
        }

        for (int run = firstRun; run < endRun; run++)
        {
            int at = rows.Start(run, out int length, out int block);
            int end = at + length;
            TVector sums00 = TSimd.Zero, sums01 = TSimd.Zero, sums02 = TSimd.Zero, sums03 = TSimd.Zero;
            TVector sums10 = TSimd.Zero, sums11 = TSimd.Zero, sums12 = TSimd.Zero, sums13 = TSimd.Zero;
            for (; at + TSimd.Count <= end; at += TSimd.Count)
            {
                TVector weight0 = TSimd.LoadWide(values0 + at), weight1 = TSimd.LoadWide(values1 + at);
                TVector value = TSimd.Load(input0 + at);
                sums00 = TSimd.MultiplyAdd(weight0, value, sums00);
                sums10 = TSimd.MultiplyAdd(weight1, value, sums10);
                value = TSimd.Load(input1 + at);
                sums01 = TSimd.MultiplyAdd(weight0, value, sums01);
                sums11 = TSimd.MultiplyAdd(weight1, value, sums11);
                value = TSimd.Load(input2 + at);
                sums02 = TSimd.MultiplyAdd(weight0, value, sums02);
                sums12 = TSimd.MultiplyAdd(weight1, value, sums12);
                value = TSimd.Load(input3 + at);
                sums03 = TSimd.MultiplyAdd(weight0, value, sums03);
                sums13 = TSimd.MultiplyAdd(weight1, value, sums13);
            }

            Vector128<int> row0 = TSimd.Sum(sums00, sums01, sums02, sums03), row1 = TSimd.Sum(sums10, sums11, sums12, sums13);
            for (; at < end; at++)
            {
                Vector128<int> tail = Vector128.Create(input0[at], input1[at], input2[at], input3[at]);
                row0 += tail * values0[at];
                row1 += tail * values1[at];
            }

            total0 += Vector128.ConvertToSingle(row0) * scales[block];
            total1 += Vector128.ConvertToSingle(row1) * scales[block + rows.BlockCount];
        }

        if (endRun == rows.RunCount)
        {
            Vector128<float> factors = Vector128.Load(inputScales);
            total0 *= factors;
            total1 *= factors;
        }

        (products0[0], products1[0], products2[0], products3[0]) = (total0[0], total0[1], total0[2], total0[3]);
        (products0[1], products1[1], products2[1], products3[1]) = (total1[0], total1[1], total1[2], total1[3]);
    }

    /// <summary>Rows cut into runs whose products are summed exactly: blocks, or pieces of those that are longer.</summary>
    private readonly struct Rows(sbyte* values, float* scales, int width, int block)
    {
        public sbyte* Values { get; } = values;

        public float* Scales { get; } = scales;

        public int Width { get; } = width;

        public int BlockCount { get; } = width / block;

        /// <summary>The length of a run, but for the last of a block.</summary>
        public int Run { get; } = Math.Min(block, LongestRun);

        public int RunsOfBlock { get; } = (block + LongestRun - 1) / LongestRun;

        public int RunCount => BlockCount * RunsOfBlock;

        public int RunsOfChunk => Math.Max(1, Chunk / Run);

        public int Start(int run, out int length, out int blockOfRun)
        {
            if (RunsOfBlock == 1)
            {
                (length, blockOfRun) = (Run, run);
                return run * Run;
            }

            blockOfRun = run / RunsOfBlock;
            int within = run % RunsOfBlock * Run;
            int ofBlock = Width / BlockCount;
            length = Math.Min(Run, ofBlock - within);
            return (blockOfRun * ofBlock) + within;
        }
    }
}
