using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// Products of rows of 8-bit weights, with one scale each, with many inputs that were rounded to 8 bits or a little less, in runs that have a scale each: what
/// is bound by arithmetic. Inputs lie in panels of four, weights are copied to where they stay in the first cache. A product does not depend on the other
/// inputs.
/// </summary>
internal static unsafe class PanelKernel
{
    /// <summary>Inputs are packed in groups of so many; the last group is filled up.</summary>
    public const int InputTile = 4;

    // Values of an input that have one scale.
    private const int Run = 256;
    private const int RunsOfChunk = 4;
    private const int Chunk = Run * RunsOfChunk;
    private const int RowGroup = 12;

    // Every width of vectors divides it.
    private const int WidthMultiple = 64;

    /// <summary>Bytes of the panels of so many inputs.</summary>
    public static long PanelBytes(int width, int inputCount) => Filled(inputCount) * PaddedWidth(width);

    /// <summary>Scales of the panels of so many inputs.</summary>
    public static long ScaleCount(int width, int inputCount) => Filled(inputCount) * RunCount(width);

    /// <summary>Rounds inputs [inputCount, width] into panels, for groups [first, end) of four.</summary>
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
    public static void Pack<TSimd, TVector>(float* inputs, int width, int inputCount, int first, int end, byte* panels, float* scales)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int bytes = 2 * TSimd.Count;
        int padded = PaddedWidth(width);
        for (int group = first; group < end; group++)
        {
            byte* panel = panels + ((long)group * InputTile * padded);
            float* groupScales = scales + ((long)group * InputTile * RunCount(width));
            for (int index = 0; index < InputTile; index++)
            {
                int input = (group * InputTile) + index;
                for (int start = 0; start < padded; start += Run)
                {
                    int length = input < inputCount ? Math.Min(Run, width - start) : 0;
                    var values = new ReadOnlySpan<float>(inputs + ((long)input * width) + start, length);
                    float inverse = 0;
                    groupScales[(start / Run * InputTile) + index] = length == 0 ? 0 : Rounding.Scale(values, TSimd.ByteLimit, out inverse);
                    int paddedLength = Math.Min(Run, padded - start);
                    for (int at = 0; at < paddedLength; at += bytes)
                    {
                        byte* unit = panel + ((long)(start + at) * InputTile) + (index * bytes);
                        Round(values, at, inverse, TSimd.ByteZero, new Span<byte>(unit, bytes));
                    }
                }
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
    public static void Multiply<TSimd, TVector>(
        sbyte* values, float* scales, int width, int first, int end, byte* panels, float* inputScales, int inputCount, float* outputs, int outputStride)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int padded = PaddedWidth(width);
        int runs = RunCount(width);
        // Vectors that lie across two cache lines take twice as long.
        sbyte* room = stackalloc sbyte[(RowGroup * Chunk) + WidthMultiple];
        var rows = (sbyte*)(((nint)room + WidthMultiple - 1) & -WidthMultiple);
        int* zeros = stackalloc int[RowGroup * RunsOfChunk];
        for (int group = first; group < end; group += RowGroup)
        {
            int count = Math.Min(RowGroup, end - group);
            for (int start = 0; start < padded; start += Chunk)
            {
                int length = Math.Min(Chunk, padded - start);
                Copy<TSimd, TVector>(values + ((long)group * width) + start, width, count, Math.Min(length, width - start), length, rows, zeros);
                for (int input = 0; input < inputCount; input += InputTile)
                {
                    byte* panel = panels + ((long)input * padded) + ((long)start * InputTile);
                    float* runScales = inputScales + ((long)input * runs) + ((long)start / Run * InputTile);
                    for (int row = 0; row < count; row += 2)
                    {
                        (Vector128<float> sums0, Vector128<float> sums1) = Tile<TSimd, TVector>(
                            rows + (row * Chunk), zeros + (row * RunsOfChunk), panel, runScales, length);
                        float* products = outputs + ((long)input * outputStride) + group + row;
                        sums0 *= scales[group + row];
                        if (row + 1 == count)
                        {
                            for (int index = 0; index < InputTile && input + index < inputCount; index++, products += outputStride)
                                products[0] = (start == 0 ? 0 : products[0]) + sums0[index];
                            continue;
                        }

                        // Both rows of an input, side by side.
                        sums1 *= scales[group + row + 1];
                        Vector128<float> pairs01 = Interleave(sums0, sums1, upper: false), pairs23 = Interleave(sums0, sums1, upper: true);
                        Add(products, pairs01.GetLower(), start == 0);
                        if (input + 1 < inputCount)
                            Add(products + outputStride, pairs01.GetUpper(), start == 0);
                        if (input + 2 < inputCount)
                            Add(products + (2L * outputStride), pairs23.GetLower(), start == 0);
                        if (input + 3 < inputCount)
                            Add(products + (3L * outputStride), pairs23.GetUpper(), start == 0);
                    }
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Interleave(Vector128<float> left, Vector128<float> right, bool upper)
    {
        if (Sse.IsSupported)
            return upper ? Sse.UnpackHigh(left, right) : Sse.UnpackLow(left, right);
        int from = upper ? 2 : 0;
        return Vector128.Create(left[from], right[from], left[from + 1], right[from + 1]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* products, Vector64<float> sums, bool isFirst) =>
        Vector64.Store(isFirst ? sums : Vector64.Load(products) + sums, products);

    private static int PaddedWidth(int width) => (width + WidthMultiple - 1) / WidthMultiple * WidthMultiple;

    private static int RunCount(int width) => (width + Run - 1) / Run;

    private static long Filled(int inputCount) => ((long)inputCount + InputTile - 1) / InputTile * InputTile;

    private static void Round(ReadOnlySpan<float> values, int from, float inverse, int zero, Span<byte> rounded)
    {
        int at = 0;
        if (Avx2.IsSupported && from + rounded.Length <= values.Length)
        {
            Vector256<float> factor = Vector256.Create(inverse);
            Vector256<byte> shift = Vector256.Create((byte)zero);
            for (; at + Vector256<byte>.Count <= rounded.Length; at += Vector256<byte>.Count)
            {
                ReadOnlySpan<float> source = values[(from + at)..];
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
            rounded[at] = (byte)(zero + (from + at < values.Length ? (int)MathF.Round(values[from + at] * inverse) : 0));
    }

    /// <summary>Copies a chunk of some rows, filled up with zeros, and sums what each run has too much for its inputs' zero.</summary>
    [SkipLocalsInit]
    private static void Copy<TSimd, TVector>(sbyte* values, int width, int count, int length, int paddedLength, sbyte* rows, int* zeros)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        byte* zero = stackalloc byte[WidthMultiple];
        new Span<byte>(zero, WidthMultiple).Fill((byte)TSimd.ByteZero);
        TVector input = TSimd.Load(zero);
        // A pair of rows is multiplied also where there is only one left.
        for (int row = 0; row < count + (count % 2); row++)
        {
            var target = new Span<sbyte>(rows + (row * Chunk), paddedLength);
            if (row < count)
                new ReadOnlySpan<sbyte>(values + ((long)row * width), length).CopyTo(target);
            target[(row < count ? length : 0)..].Clear();
            for (int start = 0; start < paddedLength; start += Run)
            {
                TVector sums = TSimd.Zero;
                for (int at = start; at < Math.Min(start + Run, paddedLength); at += 2 * TSimd.Count)
                    sums = TSimd.MultiplyAddBytes(input, TSimd.Load(rows + (row * Chunk) + at), sums);
                zeros[(row * RunsOfChunk) + (start / Run)] = -TSimd.Sum(sums);
            }
        }
    }

    private static (Vector128<float> Row0, Vector128<float> Row1) Tile<TSimd, TVector>(
        sbyte* rows, int* zeros, byte* panel, float* runScales, int length)
        where TSimd : struct, IIntegerOperations<TVector>
        where TVector : struct
    {
        int bytes = 2 * TSimd.Count;
        Vector128<float> total0 = Vector128<float>.Zero, total1 = Vector128<float>.Zero;
        for (int start = 0; start < length; start += Run)
        {
            TVector sums00 = TSimd.First(zeros[start / Run]), sums01 = sums00, sums02 = sums00, sums03 = sums00;
            TVector sums10 = TSimd.First(zeros[(start / Run) + RunsOfChunk]), sums11 = sums10, sums12 = sums10, sums13 = sums10;
            int end = Math.Min(start + Run, length);
            for (int at = start; at < end; at += bytes, panel += InputTile * bytes)
            {
                TVector weight0 = TSimd.Load(rows + at), weight1 = TSimd.Load(rows + at + Chunk);
                TVector value = TSimd.Load(panel);
                sums00 = TSimd.MultiplyAddBytes(value, weight0, sums00);
                sums10 = TSimd.MultiplyAddBytes(value, weight1, sums10);
                value = TSimd.Load(panel + bytes);
                sums01 = TSimd.MultiplyAddBytes(value, weight0, sums01);
                sums11 = TSimd.MultiplyAddBytes(value, weight1, sums11);
                value = TSimd.Load(panel + (2 * bytes));
                sums02 = TSimd.MultiplyAddBytes(value, weight0, sums02);
                sums12 = TSimd.MultiplyAddBytes(value, weight1, sums12);
                value = TSimd.Load(panel + (3 * bytes));
                sums03 = TSimd.MultiplyAddBytes(value, weight0, sums03);
                sums13 = TSimd.MultiplyAddBytes(value, weight1, sums13);
            }

            Vector128<float> scales = Vector128.Load(runScales + (start / Run * InputTile));
            total0 += Vector128.ConvertToSingle(TSimd.Sum(sums00, sums01, sums02, sums03)) * scales;
            total1 += Vector128.ConvertToSingle(TSimd.Sum(sums10, sums11, sums12, sums13)) * scales;
        }

        return (total0, total1);
    }
}
