using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
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

    /// <summary>Blocks that are not whole rows are multiples of it: the weights of the widest vector.</summary>
    public const int BlockMultiple = 64;

    /// <summary>Inputs that are multiplied at a time.</summary>
    public const int InputTile = 4;

    /// <summary>Products whose sum fits 32 bits whatever the weights are; the longest run of a block that is summed before it is scaled.</summary>
    public const int LongestRun = 512;

    // Inputs of a tile that stay in the first cache beside a few rows of weights.
    private const int Chunk = 1024;
    private const int RowGroup = 12;

    // The first pass over a row waits for memory; so far ahead it does not.
    private const int Ahead = 2048;
    private const int RowsAhead = 4;

    /// <summary>Rounds inputs [inputCount, width] to 16 bits, for groups [first, end) of <see cref="InputTile"/>.</summary>
    /// <param name="inputs">All inputs.</param>
    /// <param name="width">Values of an input.</param>
    /// <param name="inputCount">How many inputs.</param>
    /// <param name="first">The first group; the last one of all may be smaller than the others.</param>
    /// <param name="end">The group after the last.</param>
    /// <param name="rounded">Takes inputCount · width values. Those of a whole group lie in turns, as many of each input as a vector has; others in
    /// order.</param>
    /// <param name="scales">Takes what a unit of each input stands for; NaN where an input has a value that is not finite.</param>
    public static void Round(float* inputs, int width, int inputCount, int first, int end, short* rounded, float* scales)
    {
        if (UsesVectors512)
            Round<Integer512, Vector512<int>>(inputs, width, inputCount, first, end, rounded, scales);
        else if (Avx2.IsSupported)
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
        for (int group = first; group < end; group++)
        {
            int start = group * InputTile;
            int count = Math.Min(InputTile, inputCount - start);
            int step = count == InputTile ? InputTile * TSimd.Count : TSimd.Count;
            for (int index = 0; index < count; index++)
            {
                var input = new ReadOnlySpan<float>(inputs + ((long)(start + index) * width), width);
                scales[start + index] = Rounding.Scale(input, LargestInput, out float inverse);
                short* target = rounded + ((long)start * width);
                // What is left of the width does not lie in turns.
                int whole = width - (width % TSimd.Count);
                short* places = target + (count == InputTile ? index * TSimd.Count : index * width);
                for (int at = 0; at < whole; at += TSimd.Count, places += step)
                    Round(input.Slice(at, TSimd.Count), inverse, new Span<short>(places, TSimd.Count));
                int tail = width - whole;
                places = count == InputTile ? target + (InputTile * whole) + (index * tail) : target + (index * width) + whole;
                Round(input[whole..], inverse, new Span<short>(places, tail));
            }
        }
    }

    /// <summary>
    /// Computes <c>outputs[n, row] = inputScales[n] · Σ scales[row, block] · Σ values[row, k] · inputs[n, k]</c> for rows [first, end).
    /// </summary>
    /// <param name="values">Weights, [rows, width].</param>
    /// <param name="scales">[rows, width / block].</param>
    /// <param name="width">Weights of a row.</param>
    /// <param name="block">Weights that have one scale: a multiple of <see cref="BlockMultiple"/> that divides the width, or the width.</param>
    /// <param name="first">The first row.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="inputs">What <see cref="Round(float*, int, int, int, int, short*, float*)"/> made of the inputs.</param>
    /// <param name="inputScales">[inputCount].</param>
    /// <param name="inputCount">How many inputs.</param>
    /// <param name="outputs">Takes the products, [inputCount, outputStride].</param>
    /// <param name="outputStride">From the products of one input to those of the next.</param>
    public static void Multiply(
        sbyte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
    {
        if (UsesVectors512)
            Multiply<Integer512, Vector512<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else if (Avx2.IsSupported)
            Multiply<Integer256, Vector256<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<Integer128, Vector128<int>>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
        else
            Multiply<IntegerScalar, int>(values, scales, width, block, first, end, inputs, inputScales, inputCount, outputs, outputStride);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TSimd, TVector>(
        sbyte* values, float* scales, int width, int block, int first, int end, short* inputs, float* inputScales, int inputCount, float* outputs,
        int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        var rows = new Rows(values, scales, width, block);
        int paired = rows.RunsOfBlock == 1 && rows.Run % (2 * TSimd.Count) == 0 ? inputCount - (inputCount % (2 * InputTile)) : 0;
        int tiled = inputCount - (inputCount % InputTile);
        for (int group = first; group < end; group += RowGroup)
        {
            int groupEnd = Math.Min(group + RowGroup, end);
            for (int chunk = 0; chunk < rows.RunCount && tiled > 0; chunk += rows.RunsOfChunk)
            {
                int chunkEnd = Math.Min(chunk + rows.RunsOfChunk, rows.RunCount);
                for (int input = 0; input < paired; input += 2 * InputTile)
                {
                    for (int row = group; row < groupEnd; row++)
                    {
                        if (input == 0)
                            PrefetchNext(values, width, row, chunk * rows.Run, rows.RunsOfChunk * rows.Run, group, groupEnd, end);
                        TilePair<TSimd, TVector>(
                            rows, row, chunk, chunkEnd, inputs + ((long)input * width), inputScales + input, outputs + ((long)input * outputStride) + row,
                            outputStride);
                    }
                }

                for (int input = paired; input < tiled; input += InputTile)
                {
                    for (int row = group; row < groupEnd; row += 2)
                    {
                        for (int ahead = 0; input == 0 && ahead < 2; ahead++)
                            PrefetchNext(values, width, row + ahead, chunk * rows.Run, rows.RunsOfChunk * rows.Run, group, groupEnd, end);
                        // A last row that has no other beside it is multiplied twice.
                        Tile<TSimd, TVector>(
                            rows, row, Math.Min(row + 1, groupEnd - 1), chunk, chunkEnd, inputs + ((long)input * width), inputScales + input,
                            outputs + ((long)input * outputStride), outputStride);
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

    /// <summary>Whether the processor has the instructions that products are made for.</summary>
    public static bool IsFast => Avx2.IsSupported || AdvSimd.Arm64.IsSupported;

    /// <summary>Whether vectors of 512 bits are best: those of 256 with AVX-VNNI do as much at a time, and bytes to their full width.</summary>
    public static bool UsesVectors512 => Avx512BW.IsSupported && Vector512.IsHardwareAccelerated && !AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Round(ReadOnlySpan<float> input, float inverse, Span<short> rounded)
    {
        int at = 0;
        if (Avx2.IsSupported)
        {
            Vector256<float> factor = Vector256.Create(inverse);
            for (; at + Vector256<short>.Count <= input.Length; at += Vector256<short>.Count)
            {
                Vector256<int> lower = Avx.ConvertToVector256Int32(Vector256.Create(input[at..]) * factor);
                Vector256<int> upper = Avx.ConvertToVector256Int32(Vector256.Create(input[(at + Vector256<float>.Count)..]) * factor);
                Avx2.Permute4x64(Avx2.PackSignedSaturate(lower, upper).AsInt64(), 0b11_01_10_00).AsInt16().CopyTo(rounded[at..]);
            }
        }

        for (; at < input.Length; at++)
            rounded[at] = (short)MathF.Round(input[at] * inverse);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot<TSimd, TVector>(in Rows rows, int row, short* input)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        sbyte* values = rows.Values + ((long)row * rows.Width);
        float* scales = rows.Scales + ((long)row * rows.BlockCount);
        float total = 0;
        int run = 0;
        int length = rows.Run;
        if (rows.RunsOfBlock == 1 && length % (4 * TSimd.Count) == 0)
        {
            for (; run + 4 <= rows.RunCount; run += 4)
            {
                sbyte* values0 = values + (run * length);
                short* input0 = input + (run * length);
                // In the order of memory, which the processor reads ahead in.
                TVector sums0 = RunSums<TSimd, TVector>(values0, input0, length), sums1 = RunSums<TSimd, TVector>(values0 + length, input0 + length, length);
                TVector sums2 = RunSums<TSimd, TVector>(values0 + (2 * length), input0 + (2 * length), length);
                TVector sums3 = RunSums<TSimd, TVector>(values0 + (3 * length), input0 + (3 * length), length);
                Vector128<float> products = Vector128.ConvertToSingle(TSimd.Sum(sums0, sums1, sums2, sums3)) * Vector128.Load(scales + run);
                total = total + products[0] + products[1] + products[2] + products[3];
            }
        }

        for (; run < rows.RunCount; run++)
        {
            int start = rows.Start(run, out length, out int block);
            TVector sums = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
            int at = start;
            for (; at + (4 * TSimd.Count) <= start + length; at += 4 * TSimd.Count)
            {
                Prefetch(values + at + Ahead, 4 * TSimd.Count);
                sums = TSimd.MultiplyAdd(TSimd.LoadWide(values + at), TSimd.Load(input + at), sums);
                sums1 = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + TSimd.Count), TSimd.Load(input + at + TSimd.Count), sums1);
                sums2 = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + (2 * TSimd.Count)), TSimd.Load(input + at + (2 * TSimd.Count)), sums2);
                sums3 = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + (3 * TSimd.Count)), TSimd.Load(input + at + (3 * TSimd.Count)), sums3);
            }

            for (; at + TSimd.Count <= start + length; at += TSimd.Count)
                sums = TSimd.MultiplyAdd(TSimd.LoadWide(values + at), TSimd.Load(input + at), sums);
            sums = TSimd.Add(TSimd.Add(sums, sums1), TSimd.Add(sums2, sums3));
            int sum = TSimd.Sum(sums);
            for (; at < start + length; at++)
                sum += values[at] * input[at];
            total += sum * scales[block];
        }

        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector RunSums<TSimd, TVector>(sbyte* values, short* input, int length)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int count = TSimd.Count;
        TVector sums = TSimd.Zero, others = TSimd.Zero;
        for (int at = 0; at < length; at += 4 * count)
        {
            Prefetch(values + at + Ahead, 4 * count);
            sums = TSimd.MultiplyAdd(TSimd.LoadWide(values + at), TSimd.Load(input + at), sums);
            others = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + count), TSimd.Load(input + at + count), others);
            sums = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + (2 * count)), TSimd.Load(input + at + (2 * count)), sums);
            others = TSimd.MultiplyAdd(TSimd.LoadWide(values + at + (3 * count)), TSimd.Load(input + at + (3 * count)), others);
        }

        return TSimd.Add(sums, others);
    }

    /// <summary>Asks for the cache lines of so many bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(void* from, int bytes)
    {
        for (int at = 0; at < bytes && Sse.IsSupported; at += 64)
            Sse.Prefetch0((byte*)from + at);
    }

    /// <summary>
    /// Asks for what the first inputs will be multiplied with a few rows later, which they would wait for: of a group of rows, chunk after chunk is read.
    /// </summary>
    /// <param name="values">The rows.</param>
    /// <param name="rowBytes">The bytes of a row.</param>
    /// <param name="row">The row that comes now.</param>
    /// <param name="start">Where its chunk begins.</param>
    /// <param name="bytes">The bytes of a chunk.</param>
    /// <param name="group">The first row of the group.</param>
    /// <param name="groupEnd">The row after its last.</param>
    /// <param name="end">The row after the last of all.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PrefetchNext(void* values, int rowBytes, int row, int start, int bytes, int group, int groupEnd, int end)
    {
        row += RowsAhead;
        if (row >= groupEnd)
        {
            start += bytes;
            if (start < rowBytes)
                row += group - groupEnd;
            else
                start = 0;
        }

        if (row < end)
            Prefetch((byte*)values + ((long)row * rowBytes) + start, Math.Min(bytes, rowBytes - start));
    }

    /// <summary>Two rows and four inputs; the sums so far are in the outputs but for the first chunk.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TSimd, TVector>(
        in Rows rows, int row0, int row1, int firstRun, int endRun, short* inputs, float* inputScales, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        sbyte* values0 = rows.Values + ((long)row0 * rows.Width);
        sbyte* values1 = rows.Values + ((long)row1 * rows.Width);
        float* scales0 = rows.Scales + ((long)row0 * rows.BlockCount);
        float* scales1 = rows.Scales + ((long)row1 * rows.BlockCount);
        Vector128<float> total0 = Vector128<float>.Zero, total1 = Vector128<float>.Zero;
        if (firstRun > 0)
            (total0, total1) = (Gather(outputs + row0, outputStride), Gather(outputs + row1, outputStride));
        for (int run = firstRun; run < endRun; run++)
        {
            int start = rows.Start(run, out int length, out int block);
            short* tile = inputs + (start * InputTile);
            sbyte* weights0 = values0 + start;
            sbyte* weights1 = values1 + start;
            TVector sums00 = TSimd.Zero, sums01 = TSimd.Zero, sums02 = TSimd.Zero, sums03 = TSimd.Zero;
            TVector sums10 = TSimd.Zero, sums11 = TSimd.Zero, sums12 = TSimd.Zero, sums13 = TSimd.Zero;
            int left = length;
            for (; left >= TSimd.Count; left -= TSimd.Count)
            {
                TVector weight0 = TSimd.LoadWide(weights0), weight1 = TSimd.LoadWide(weights1);
                TVector value = TSimd.Load(tile);
                sums00 = TSimd.MultiplyAdd(weight0, value, sums00);
                sums10 = TSimd.MultiplyAdd(weight1, value, sums10);
                value = TSimd.Load(tile + TSimd.Count);
                sums01 = TSimd.MultiplyAdd(weight0, value, sums01);
                sums11 = TSimd.MultiplyAdd(weight1, value, sums11);
                value = TSimd.Load(tile + (2 * TSimd.Count));
                sums02 = TSimd.MultiplyAdd(weight0, value, sums02);
                sums12 = TSimd.MultiplyAdd(weight1, value, sums12);
                value = TSimd.Load(tile + (3 * TSimd.Count));
                sums03 = TSimd.MultiplyAdd(weight0, value, sums03);
                sums13 = TSimd.MultiplyAdd(weight1, value, sums13);
                weights0 += TSimd.Count;
                weights1 += TSimd.Count;
                tile += InputTile * TSimd.Count;
            }

            Vector128<int> products0 = TSimd.Sum(sums00, sums01, sums02, sums03), products1 = TSimd.Sum(sums10, sums11, sums12, sums13);
            for (int at = 0; at < left; at++)
            {
                Vector128<int> tail = Vector128.Create(tile[at], tile[at + left], tile[at + (2 * left)], tile[at + (3 * left)]);
                products0 += tail * weights0[at];
                products1 += tail * weights1[at];
            }

            total0 += Vector128.ConvertToSingle(products0) * scales0[block];
            total1 += Vector128.ConvertToSingle(products1) * scales1[block];
        }

        if (endRun == rows.RunCount)
        {
            Vector128<float> factors = Vector128.Load(inputScales);
            total0 *= factors;
            total1 *= factors;
        }

        Scatter(total0, outputs + row0, outputStride);
        Scatter(total1, outputs + row1, outputStride);
    }

    /// <summary>
    /// One row, whose runs are whole pairs of vectors, and the eight inputs of two tiles: each weight is widened once for all of them. The sums so far are in
    /// the outputs but for the first chunk.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TilePair<TSimd, TVector>(
        in Rows rows, int row, int firstRun, int endRun, short* inputs, float* inputScales, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int count = TSimd.Count;
        int run = rows.Run;
        sbyte* weights = rows.Values + ((long)row * rows.Width) + (firstRun * run);
        sbyte* chunkEnd = weights + ((endRun - firstRun) * run);
        float* scale = rows.Scales + ((long)row * rows.BlockCount) + firstRun;
        short* tile = inputs + (firstRun * run * InputTile);
        // From an input of the first tile to that of the second.
        nint next = (nint)InputTile * rows.Width;
        float* others = outputs + ((long)InputTile * outputStride);
        Vector256<float> total = firstRun == 0 ? Vector256<float>.Zero : Vector256.Create(Gather(outputs, outputStride), Gather(others, outputStride));
        while (weights < chunkEnd)
        {
            TVector sums0 = TSimd.Zero, sums1 = TSimd.Zero, sums2 = TSimd.Zero, sums3 = TSimd.Zero;
            TVector sums4 = TSimd.Zero, sums5 = TSimd.Zero, sums6 = TSimd.Zero, sums7 = TSimd.Zero;
            for (sbyte* end = weights + run; weights < end; weights += 2 * count, tile += 2 * InputTile * count)
            {
                TVector weight = TSimd.LoadWide(weights);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + count), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (2 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (3 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + count), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (2 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (3 * count)), sums7);
                weight = TSimd.LoadWide(weights + count);
                sums0 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (4 * count)), sums0);
                sums1 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (5 * count)), sums1);
                sums2 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (6 * count)), sums2);
                sums3 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + (7 * count)), sums3);
                sums4 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (4 * count)), sums4);
                sums5 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (5 * count)), sums5);
                sums6 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (6 * count)), sums6);
                sums7 = TSimd.MultiplyAdd(weight, TSimd.Load(tile + next + (7 * count)), sums7);
            }

            total += Vector256.ConvertToSingle(TSimd.Sum(sums0, sums1, sums2, sums3, sums4, sums5, sums6, sums7)) * *scale++;
        }

        if (endRun == rows.RunCount)
            total *= Vector256.Load(inputScales);
        Scatter(total.GetLower(), outputs, outputStride);
        Scatter(total.GetUpper(), others, outputStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> Gather(float* outputs, int stride) =>
        Vector128.Create(outputs[0], outputs[stride], outputs[2L * stride], outputs[3L * stride]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Scatter(Vector128<float> products, float* outputs, int stride) =>
        (outputs[0], outputs[stride], outputs[2L * stride], outputs[3L * stride]) = (products[0], products[1], products[2], products[3]);

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

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
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
