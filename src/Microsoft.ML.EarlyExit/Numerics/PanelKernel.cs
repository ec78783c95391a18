using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// Products of rows of 8-bit weights, with one scale each, with many inputs that were rounded to 8 bits or a little less, in runs that have a scale each: what
/// is bound by arithmetic. The weights of some rows are copied, run by run, to where they stay in the first cache, so that a vector has a few of each of its
/// rows: four bytes of an input are multiplied with as many of each row at a time, and no sum lies across lanes. A product does not depend on the other
/// inputs.
/// </summary>
/// <remarks>
/// Without instructions that multiply bytes and add to 32 bits, widening is half of the work. So eight products are summed in 16 bits first, wherever their
/// weights' magnitudes sum to so little that no inputs overflow it: sums wrap around, and what they have too much for their inputs' zero is taken off before
/// it could matter. Elsewhere each pair of products is widened. Both are exact.
/// </remarks>
internal static unsafe class PanelKernel
{
    /// <summary>Inputs are packed in groups of so many.</summary>
    public const int InputTile = 4;

    // Values of an input that have one scale.
    private const int Run = 256;

    // Vectors of rows that are multiplied at a time, and columns of four bytes of which sums of 16 bits are made.
    private const int VectorTile = 4;
    private const int Grouped = 4;
    private const int GroupedBytes = Grouped * sizeof(int);
    private const int LargestVector = 64;
    private const int LargestTile = VectorTile * LargestVector / sizeof(int);

    /// <summary>Rows that are multiplied at a time.</summary>
    public static int RowTile { get; } = VectorTile * (IntegerKernel.UsesVectors512 ? Integer512.Lanes
        : Avx2.IsSupported ? Integer256.Lanes
        : Vector128.IsHardwareAccelerated ? Integer128.Lanes : IntegerScalar.Lanes);

    /// <summary>Bytes of the panels of so many inputs.</summary>
    public static long PanelBytes(int width, int inputCount) => (long)inputCount * PaddedWidth(width);

    /// <summary>Scales of the panels of so many inputs.</summary>
    public static long ScaleCount(int width, int inputCount) => (long)inputCount * RunCount(width);

    /// <summary>Rounds inputs [inputCount, width] into a panel for each run, for groups [first, end) of four.</summary>
    public static void Pack(float* inputs, int width, int inputCount, int first, int end, byte* panels, float* scales)
    {
        if (IntegerKernel.UsesVectors512)
            Pack<Integer512, Vector512<int>>(inputs, width, inputCount, first, end, panels, scales);
        else if (Avx2.IsSupported)
            Pack<Integer256, Vector256<int>>(inputs, width, inputCount, first, end, panels, scales);
        else if (Vector128.IsHardwareAccelerated)
            Pack<Integer128, Vector128<int>>(inputs, width, inputCount, first, end, panels, scales);
        else
            Pack<IntegerScalar, int>(inputs, width, inputCount, first, end, panels, scales);
    }

    /// <summary>The same for a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack<TSimd, TVector>(float* inputs, int width, int inputCount, int first, int end, byte* panels, float* scales)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int padded = PaddedWidth(width);
        for (int input = first * InputTile; input < Math.Min(end * InputTile, inputCount); input++)
        {
            for (int start = 0; start < padded; start += Run)
            {
                int length = Math.Min(Run, padded - start);
                var values = new ReadOnlySpan<float>(inputs + ((long)input * width) + start, Math.Min(Run, width - start));
                scales[((long)start / Run * inputCount) + input] = Rounding.Scale(values, TSimd.ByteLimit, out float inverse);
                var target = new Span<byte>(panels + ((long)start * inputCount) + ((long)input * length), length);
                Round(values, inverse, TSimd.ByteZero, target);
            }
        }
    }

    /// <summary>
    /// Computes <c>outputs[n, row] = scales[row] · Σ inputScale[n, run] · Σ values[row, k] · input[n, k]</c> for rows [first, end).
    /// </summary>
    /// <param name="values">Weights, [rows, width].</param>
    /// <param name="scales">[rows].</param>
    /// <param name="width">Weights of a row.</param>
    /// <param name="first">The first row.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="panels">What <see cref="Pack(float*, int, int, int, int, byte*, float*)"/> made of all inputs.</param>
    /// <param name="inputScales">Their scales.</param>
    /// <param name="inputCount">How many inputs.</param>
    /// <param name="outputs">Takes the products, [inputCount, outputStride].</param>
    /// <param name="outputStride">From the products of one input to those of the next.</param>
    public static void Multiply(
        sbyte* values, float* scales, int width, int first, int end, byte* panels, float* inputScales, int inputCount, float* outputs, int outputStride)
    {
        if (IntegerKernel.UsesVectors512)
            Multiply<Integer512, Vector512<int>>(values, scales, width, first, end, panels, inputScales, inputCount, outputs, outputStride);
        else if (Avx2.IsSupported)
            Multiply<Integer256, Vector256<int>>(values, scales, width, first, end, panels, inputScales, inputCount, outputs, outputStride);
        else if (Vector128.IsHardwareAccelerated)
            Multiply<Integer128, Vector128<int>>(values, scales, width, first, end, panels, inputScales, inputCount, outputs, outputStride);
        else
            Multiply<IntegerScalar, int>(values, scales, width, first, end, panels, inputScales, inputCount, outputs, outputStride);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TSimd, TVector>(
        sbyte* values, float* scales, int width, int first, int end, byte* panels, float* inputScales, int inputCount, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int tileRows = VectorTile * TSimd.Lanes;
        int padded = PaddedWidth(width);
        // Vectors that lie across two cache lines take twice as long.
        byte* room = stackalloc byte[LargestVector + (Run / GroupedBytes * GroupStride(LargestVector)) + (VectorTile * LargestVector)];
        var copy = (sbyte*)(((nint)room + LargestVector - 1) & -LargestVector);
        int* zeros = (int*)(copy + (Run / GroupedBytes * GroupStride(LargestVector)));
        float* factors = stackalloc float[LargestTile];
        float* some = stackalloc float[LargestTile];
        for (int group = first; group < end; group += tileRows)
        {
            int count = Math.Min(tileRows, end - group);
            new ReadOnlySpan<float>(scales + group, count).CopyTo(new Span<float>(factors, tileRows));
            for (int start = 0; start < padded; start += Run)
            {
                int length = Math.Min(Run, padded - start);
                bool isLast = start + length == padded;
                Copy(values + ((long)group * width) + start, width, count, Math.Min(length, width - start), length, TSimd.Lanes, copy);
                int fitting = Prepare<TSimd, TVector>(length, copy, zeros);
                float* lastFactors = isLast ? factors : null;
                byte* panel = panels + ((long)start * inputCount);
                float* runScales = inputScales + ((long)start / Run * inputCount);
                // The next copy waits for memory unless its rows are asked for here.
                int nextGroup = isLast ? group + tileRows : group, nextStart = isLast ? 0 : start + Run;
                int nextRow = nextGroup;
                int share = (tileRows + inputCount - 1) / inputCount;
                for (int input = 0; input < inputCount; input++, panel += length)
                {
                    for (int upTo = Math.Min(Math.Min(nextRow + share, nextGroup + tileRows), end); nextRow < upTo; nextRow++)
                        IntegerKernel.Prefetch(values + ((long)nextRow * width) + nextStart, Math.Min(Run, width - nextStart));
                    float* products = outputs + ((long)input * outputStride) + group;
                    IntegerKernel.Prefetch(products + outputStride, tileRows * sizeof(float));
                    if (count == tileRows)
                    {
                        Tile<TSimd, TVector>(copy, zeros, fitting, panel, length, runScales[input], products, start == 0, lastFactors);
                        continue;
                    }

                    new ReadOnlySpan<float>(products, count).CopyTo(new Span<float>(some, tileRows));
                    Tile<TSimd, TVector>(copy, zeros, fitting, panel, length, runScales[input], some, start == 0, lastFactors);
                    new ReadOnlySpan<float>(some, count).CopyTo(new Span<float>(products, count));
                }
            }
        }
    }

    private static int PaddedWidth(int width) => (width + GroupedBytes - 1) / GroupedBytes * GroupedBytes;

    private static int RunCount(int width) => (width + Run - 1) / Run;

    // From the weights of a group of columns to those of the next: the columns', and what is added to their sums of 16 bits.
    private static int GroupStride(int vectorBytes) => (Grouped + 1) * VectorTile * vectorBytes;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Round(ReadOnlySpan<float> values, float inverse, int zero, Span<byte> rounded)
    {
        int at = 0;
        if (Avx2.IsSupported)
        {
            Vector256<float> factor = Vector256.Create(inverse);
            Vector256<byte> shift = Vector256.Create((byte)zero);
            for (; at + Vector256<byte>.Count <= values.Length; at += Vector256<byte>.Count)
            {
                ReadOnlySpan<float> source = values[at..];
                Vector256<short> lower = Avx2.PackSignedSaturate(Eight(source, 0), Eight(source, 8));
                Vector256<short> upper = Avx2.PackSignedSaturate(Eight(source, 16), Eight(source, 24));
                Vector256<int> order = Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7);
                Vector256<byte> bytes = Avx2.PermuteVar8x32(Avx2.PackSignedSaturate(lower, upper).AsInt32(), order).AsByte();
                (bytes + shift).CopyTo(rounded[at..]);
            }

            Vector256<int> Eight(ReadOnlySpan<float> source, int offset) =>
                Avx.ConvertToVector256Int32(Vector256.Create(source.Slice(offset, Vector256<float>.Count)) * factor);
        }

        for (; at < rounded.Length; at++)
            rounded[at] = (byte)(zero + (at < values.Length ? (int)MathF.Round(values[at] * inverse) : 0));
    }

    /// <summary>
    /// Copies a run of some rows, filled up with zeros: four bytes of every row of the tile, then the next four of every row. After each
    /// <see cref="Grouped"/> columns of such is room for a vector each.
    /// </summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Copy(sbyte* values, int width, int count, int length, int paddedLength, int lanes, sbyte* copy)
    {
        const int BlockRows = 8;
        int vectorBytes = lanes * sizeof(int);
        int columnBytes = VectorTile * vectorBytes;
        int row = 0;
        int wholeLength = Avx2.IsSupported && lanes % BlockRows == 0 ? length / Vector256<byte>.Count * Vector256<byte>.Count : 0;
        for (; row + BlockRows <= count && wholeLength > 0; row += BlockRows)
        {
            sbyte* source = values + ((long)row * width);
            for (int at = 0; at < wholeLength; at += Vector256<byte>.Count, source += Vector256<byte>.Count)
            {
                // Rows of eight columns become columns of eight rows.
                Vector256<int> row0 = Vector256.Load((int*)source), row1 = Vector256.Load((int*)(source + width));
                Vector256<int> row2 = Vector256.Load((int*)(source + (2L * width))), row3 = Vector256.Load((int*)(source + (3L * width)));
                Vector256<int> row4 = Vector256.Load((int*)(source + (4L * width))), row5 = Vector256.Load((int*)(source + (5L * width)));
                Vector256<int> row6 = Vector256.Load((int*)(source + (6L * width))), row7 = Vector256.Load((int*)(source + (7L * width)));
                Vector256<long> low01 = Avx2.UnpackLow(row0, row1).AsInt64(), high01 = Avx2.UnpackHigh(row0, row1).AsInt64();
                Vector256<long> low23 = Avx2.UnpackLow(row2, row3).AsInt64(), high23 = Avx2.UnpackHigh(row2, row3).AsInt64();
                Vector256<long> low45 = Avx2.UnpackLow(row4, row5).AsInt64(), high45 = Avx2.UnpackHigh(row4, row5).AsInt64();
                Vector256<long> low67 = Avx2.UnpackLow(row6, row7).AsInt64(), high67 = Avx2.UnpackHigh(row6, row7).AsInt64();
                sbyte* target = copy + (at / GroupedBytes * GroupStride(vectorBytes)) + (row * sizeof(int));
                Store(target, Avx2.UnpackLow(low01, low23), Avx2.UnpackLow(low45, low67));
                Store(target + columnBytes, Avx2.UnpackHigh(low01, low23), Avx2.UnpackHigh(low45, low67));
                Store(target + (2 * columnBytes), Avx2.UnpackLow(high01, high23), Avx2.UnpackLow(high45, high67));
                Store(target + (3 * columnBytes), Avx2.UnpackHigh(high01, high23), Avx2.UnpackHigh(high45, high67));
            }
        }

        for (int other = 0; other < VectorTile * lanes; other++)
        {
            int known = other < count ? length : 0;
            for (int at = other < row ? wholeLength : 0; at < paddedLength; at += sizeof(int))
            {
                sbyte* source = values + ((long)other * width) + at;
                int four = at + sizeof(int) <= known ? *(int*)source : 0;
                for (int index = 0; at + sizeof(int) > known && at + index < known; index++)
                    ((sbyte*)&four)[index] = source[index];
                ((int*)(copy + (at / GroupedBytes * GroupStride(vectorBytes)) + (at % GroupedBytes / sizeof(int) * columnBytes)))[other] = four;
            }
        }

        // The lower halves are columns 0 to 3, the upper ones columns 4 to 7, which are the next group.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        void Store(sbyte* target, Vector256<long> rows0, Vector256<long> rows4)
        {
            Avx2.Permute2x128(rows0, rows4, 0x20).Store((long*)target);
            Avx2.Permute2x128(rows0, rows4, 0x31).Store((long*)(target + GroupStride(vectorBytes)));
        }
    }

    /// <summary>
    /// Finds what is to be added to sums for their inputs' zero: to each of 16 bits, for groups of columns where those fit whatever the inputs, and to each of
    /// 32 bits for the others.
    /// </summary>
    /// <returns>A bit for each group whose sums of 16 bits fit.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Prepare<TSimd, TVector>(int length, sbyte* copy, int* zeros)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int bytes = TSimd.Lanes * sizeof(int);
        int columnBytes = VectorTile * bytes;
        int zero = TSimd.ByteZero * 0x01010101;
        int fitting = 0;
        new Span<byte>(zeros, columnBytes).Clear();
        for (int group = 0; group < length / GroupedBytes; group++, copy += GroupStride(bytes))
        {
            bool fits = TSimd.SumsBytesInShorts;
            sbyte* offsets = copy + (Grouped * columnBytes);
            for (int at = 0; at < columnBytes && TSimd.SumsBytesInShorts; at += bytes)
            {
                fits &= TSimd.TryOffset(
                    TSimd.LoadBytes(copy + at), TSimd.LoadBytes(copy + at + columnBytes), TSimd.LoadBytes(copy + at + (2 * columnBytes)),
                    TSimd.LoadBytes(copy + at + (3 * columnBytes)), out TVector offset);
                TSimd.Store(offset, offsets + at);
            }

            if (fits)
            {
                fitting |= 1 << group;
                continue;
            }

            for (int at = 0; at < columnBytes && TSimd.ByteZero != 0; at += bytes)
            {
                byte* target = (byte*)zeros + at;
                TVector sums = TSimd.Zero;
                for (int column = 0; column < Grouped; column++)
                    sums = TSimd.MultiplyAddBytes(TSimd.Broadcast(&zero), TSimd.LoadBytes(copy + at + (column * columnBytes)), sums);
                TSimd.Store(TSimd.Subtract(TSimd.LoadBytes(target), sums), target);
            }
        }

        return fitting;
    }

    /// <summary>A run of one input and the rows of <see cref="VectorTile"/> vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TSimd, TVector>(
        sbyte* copy, int* zeros, int fitting, byte* input, int length, float scale, float* products, bool isFirst, float* factors)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int bytes = TSimd.Lanes * sizeof(int);
        sbyte* zero = (sbyte*)zeros;
        TVector sums0 = TSimd.LoadBytes(zero), sums1 = TSimd.LoadBytes(zero + bytes);
        TVector sums2 = TSimd.LoadBytes(zero + (2 * bytes)), sums3 = TSimd.LoadBytes(zero + (3 * bytes));
        byte* end = input + length;
        while (input < end)
        {
            int fits = TSimd.SumsBytesInShorts ? BitOperations.TrailingZeroCount(~fitting) : 0;
            fitting >>= fits + 1;
            for (byte* fitEnd = input + (fits * GroupedBytes); input < fitEnd; input += GroupedBytes, copy += GroupStride(bytes))
            {
                TVector value = TSimd.Broadcast(input);
                TVector shorts0 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy)), TSimd.LoadBytes(copy + (16 * bytes)));
                TVector shorts1 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + bytes)), TSimd.LoadBytes(copy + (17 * bytes)));
                TVector shorts2 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (2 * bytes))), TSimd.LoadBytes(copy + (18 * bytes)));
                TVector shorts3 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (3 * bytes))), TSimd.LoadBytes(copy + (19 * bytes)));
                value = TSimd.Broadcast(input + 4);
                shorts0 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (4 * bytes))), shorts0);
                shorts1 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (5 * bytes))), shorts1);
                shorts2 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (6 * bytes))), shorts2);
                shorts3 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (7 * bytes))), shorts3);
                value = TSimd.Broadcast(input + 8);
                shorts0 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (8 * bytes))), shorts0);
                shorts1 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (9 * bytes))), shorts1);
                shorts2 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (10 * bytes))), shorts2);
                shorts3 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (11 * bytes))), shorts3);
                value = TSimd.Broadcast(input + 12);
                shorts0 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (12 * bytes))), shorts0);
                shorts1 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (13 * bytes))), shorts1);
                shorts2 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (14 * bytes))), shorts2);
                shorts3 = TSimd.AddShorts(TSimd.MultiplyBytes(value, TSimd.LoadBytes(copy + (15 * bytes))), shorts3);
                sums0 = TSimd.AddPairs(shorts0, sums0);
                sums1 = TSimd.AddPairs(shorts1, sums1);
                sums2 = TSimd.AddPairs(shorts2, sums2);
                sums3 = TSimd.AddPairs(shorts3, sums3);
            }

            if (input == end)
                break;
            for (byte* groupEnd = input + GroupedBytes; input < groupEnd; input += sizeof(int), copy += VectorTile * bytes)
            {
                TVector value = TSimd.Broadcast(input);
                sums0 = TSimd.MultiplyAddBytes(value, TSimd.LoadBytes(copy), sums0);
                sums1 = TSimd.MultiplyAddBytes(value, TSimd.LoadBytes(copy + bytes), sums1);
                sums2 = TSimd.MultiplyAddBytes(value, TSimd.LoadBytes(copy + (2 * bytes)), sums2);
                sums3 = TSimd.MultiplyAddBytes(value, TSimd.LoadBytes(copy + (3 * bytes)), sums3);
            }

            copy += VectorTile * bytes;
        }

        int lanes = TSimd.Lanes;
        TSimd.AddScaled(sums0, scale, products, isFirst, factors);
        TSimd.AddScaled(sums1, scale, products + lanes, isFirst, factors is null ? null : factors + lanes);
        TSimd.AddScaled(sums2, scale, products + (2 * lanes), isFirst, factors is null ? null : factors + (2 * lanes));
        TSimd.AddScaled(sums3, scale, products + (3 * lanes), isFirst, factors is null ? null : factors + (3 * lanes));
    }
}
