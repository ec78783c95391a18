using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Attention of some queries of one head over all keys and values: <c>softmax(Q · Kᵀ + bias) · V</c>, unscaled as T5 has it. Keys are taken block by block with
/// a running maximum, so that a sequence of any length needs no more memory. What a block needs is copied first: rows that lie a power of two apart would fall
/// into the same few lines of the caches.
/// </summary>
internal static unsafe class SequenceAttentionKernel
{
    /// <summary>The most queries of a call.</summary>
    public const int QueryBlock = 64;

    private const int KeyBlock = 128;
    private const int RowTile = 4;
    private const int VectorTile = 2;

    /// <summary>Floats of scratch for heads of a width.</summary>
    public static int ScratchLength(int width) =>
        (QueryBlock * width) + (KeyBlock * width) + (KeyBlock * Padded(width)) + (QueryBlock * KeyBlock) + (QueryBlock * Padded(width)) + (2 * QueryBlock);

    /// <summary>Attends with the widest vectors there are.</summary>
    /// <param name="part">What to read and write.</param>
    /// <param name="scratch">As many floats as <see cref="ScratchLength"/> says.</param>
    public static void Attend(in SequenceAttentionPart part, float* scratch)
    {
        if (Vector512.IsHardwareAccelerated)
            Attend<Simd512, Vector512<float>>(part, scratch);
        else if (Vector256.IsHardwareAccelerated)
            Attend<Simd256, Vector256<float>>(part, scratch);
        else if (Vector128.IsHardwareAccelerated)
            Attend<Simd128, Vector128<float>>(part, scratch);
        else
            Attend<SimdScalar, float>(part, scratch);
    }

    /// <summary>The same in a given width of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Attend<TSimd, TVector>(in SequenceAttentionPart part, float* scratch)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        int width = part.Width, padded = Padded(width);
        int rows = (part.QueryCount + RowTile - 1) / RowTile * RowTile;
        float* queries = scratch;
        float* keys = queries + (QueryBlock * width);
        float* values = keys + (KeyBlock * width);
        float* scores = values + (KeyBlock * padded);
        float* mixed = scores + (QueryBlock * KeyBlock);
        float* largest = mixed + (QueryBlock * padded);
        float* sums = largest + QueryBlock;

        Copy(part.Queries, part.QueryStride, part.QueryCount, width, queries, width);
        new Span<float>(queries + (part.QueryCount * width), (rows - part.QueryCount) * width).Clear();
        new Span<float>(mixed, rows * padded).Clear();
        new Span<float>(largest, QueryBlock).Fill(float.NegativeInfinity);
        new Span<float>(sums, QueryBlock).Clear();
        for (int first = 0; first < part.KeyCount; first += KeyBlock)
        {
            int count = Math.Min(KeyBlock, part.KeyCount - first);
            Transpose(part.Keys + ((long)first * part.KeyStride), part.KeyStride, count, width, keys);
            Copy(part.Values + ((long)first * part.KeyStride), part.KeyStride, count, width, values, padded);
            Begin(part, first, count, rows, scores);
            MultiplyAdd<TSimd, TVector>(queries, width, rows, width, keys, KeyBlock, count, scores, KeyBlock);
            for (int query = 0; query < part.QueryCount; query++)
            {
                var row = new Span<float>(scores + (query * KeyBlock), count);
                float most = Math.Max(largest[query], TensorPrimitives.Max<float>(row));
                TensorPrimitives.Subtract(row, most, row);
                TensorPrimitives.Exp(row, row);
                float sum = TensorPrimitives.Sum<float>(row);
                if (part.KeyCount <= KeyBlock)
                {
                    // Nothing comes later: rounded as the definition is.
                    TensorPrimitives.Divide(row, sum, row);
                    sum = 1;
                }

                if (first > 0 && most != largest[query])
                {
                    // What earlier blocks gave was relative to their maximum.
                    float kept = MathF.Exp(largest[query] - most);
                    sums[query] *= kept;
                    var earlier = new Span<float>(mixed + (query * padded), width);
                    TensorPrimitives.Multiply(earlier, kept, earlier);
                }

                sums[query] += sum;
                largest[query] = most;
            }

            MultiplyAdd<TSimd, TVector>(scores, KeyBlock, rows, count, values, padded, padded, mixed, padded);
        }

        for (int query = 0; query < part.QueryCount; query++)
        {
            var output = new Span<float>(part.Output + ((long)query * part.QueryStride), width);
            TensorPrimitives.Divide(new ReadOnlySpan<float>(mixed + (query * padded), width), sums[query], output);
        }
    }

    // Whole tiles of the widest vectors.
    private static int Padded(int width) => (width + (VectorTile * Vector512<float>.Count) - 1) & -(VectorTile * Vector512<float>.Count);

    /// <summary>Scores before any product: the bias, and zeros where there is none.</summary>
    private static void Begin(in SequenceAttentionPart part, int first, int count, int rows, float* scores)
    {
        for (int query = 0; query < rows; query++)
        {
            var row = new Span<float>(scores + (query * KeyBlock), KeyBlock);
            int known = part.Bias is not null && query < part.QueryCount ? count : 0;
            new ReadOnlySpan<float>(part.Bias + ((long)query * part.BiasStride) + first, known).CopyTo(row);
            row[known..].Clear();
        }
    }

    private static void Copy(float* source, int stride, int count, int width, float* target, int targetStride)
    {
        for (int row = 0; row < count; row++)
        {
            new ReadOnlySpan<float>(source + ((long)row * stride), width).CopyTo(new Span<float>(target + (row * targetStride), width));
            new Span<float>(target + (row * targetStride) + width, targetStride - width).Clear();
        }
    }

    /// <summary>Turns keys [count, width] into [width, <see cref="KeyBlock"/>], filled up with zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(float* source, int stride, int count, int width, float* target)
    {
        const int Tile = 8;
        int row = 0, wholeWidth = width - (width % Tile);
        for (; Avx.IsSupported && row + Tile <= count; row += Tile)
        {
            for (int at = 0; at < wholeWidth; at += Tile)
                TransposeTile(source + ((long)row * stride) + at, stride, target + (at * KeyBlock) + row);
            for (int one = row; one < row + Tile; one++)
                TransposeRow(source + ((long)one * stride), wholeWidth, width, target + one);
        }

        for (; row < count; row++)
            TransposeRow(source + ((long)row * stride), 0, width, target + row);
        for (int at = 0; at < width; at++)
            new Span<float>(target + (at * KeyBlock) + count, KeyBlock - count).Clear();
    }

    private static void TransposeRow(float* source, int first, int width, float* target)
    {
        for (int at = first; at < width; at++)
            target[at * KeyBlock] = source[at];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeTile(float* source, int stride, float* target)
    {
        Vector256<float> row0 = Vector256.Load(source), row1 = Vector256.Load(source + stride);
        Vector256<float> row2 = Vector256.Load(source + (2L * stride)), row3 = Vector256.Load(source + (3L * stride));
        Vector256<float> row4 = Vector256.Load(source + (4L * stride)), row5 = Vector256.Load(source + (5L * stride));
        Vector256<float> row6 = Vector256.Load(source + (6L * stride)), row7 = Vector256.Load(source + (7L * stride));
        Vector256<double> low01 = Avx.UnpackLow(row0, row1).AsDouble(), high01 = Avx.UnpackHigh(row0, row1).AsDouble();
        Vector256<double> low23 = Avx.UnpackLow(row2, row3).AsDouble(), high23 = Avx.UnpackHigh(row2, row3).AsDouble();
        Vector256<double> low45 = Avx.UnpackLow(row4, row5).AsDouble(), high45 = Avx.UnpackHigh(row4, row5).AsDouble();
        Vector256<double> low67 = Avx.UnpackLow(row6, row7).AsDouble(), high67 = Avx.UnpackHigh(row6, row7).AsDouble();
        Store(target, Avx.UnpackLow(low01, low23), Avx.UnpackLow(low45, low67));
        Store(target + KeyBlock, Avx.UnpackHigh(low01, low23), Avx.UnpackHigh(low45, low67));
        Store(target + (2 * KeyBlock), Avx.UnpackLow(high01, high23), Avx.UnpackLow(high45, high67));
        Store(target + (3 * KeyBlock), Avx.UnpackHigh(high01, high23), Avx.UnpackHigh(high45, high67));

        // The lower halves are columns 0 to 3, the upper ones columns 4 to 7.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Store(float* target, Vector256<double> rows0, Vector256<double> rows4)
        {
            Avx.Permute2x128(rows0, rows4, 0x20).AsSingle().Store(target);
            Avx.Permute2x128(rows0, rows4, 0x31).AsSingle().Store(target + (4 * KeyBlock));
        }
    }

    /// <summary><c>products += left · right</c> for [rows, depth] and [depth, columns], whose rows have room for whole tiles of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyAdd<TSimd, TVector>(
        float* left, int leftStride, int rows, int depth, float* right, int rightStride, int columns, float* products, int stride)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct
    {
        for (int column = 0; column < columns; column += VectorTile * TSimd.Count)
        {
            for (int row = 0; row < rows; row += RowTile)
            {
                float* target = products + (row * stride) + column;
                TVector sum00 = TSimd.Load(target), sum01 = TSimd.Load(target + TSimd.Count);
                TVector sum10 = TSimd.Load(target + stride), sum11 = TSimd.Load(target + stride + TSimd.Count);
                TVector sum20 = TSimd.Load(target + (2 * stride)), sum21 = TSimd.Load(target + (2 * stride) + TSimd.Count);
                TVector sum30 = TSimd.Load(target + (3 * stride)), sum31 = TSimd.Load(target + (3 * stride) + TSimd.Count);
                float* factors = left + (row * leftStride);
                float* vectors = right + column;
                for (int at = 0; at < depth; at++, factors++, vectors += rightStride)
                {
                    TVector vector0 = TSimd.Load(vectors), vector1 = TSimd.Load(vectors + TSimd.Count);
                    TVector factor = TSimd.Repeat(factors[0]);
                    sum00 = TSimd.MultiplyAdd(factor, vector0, sum00);
                    sum01 = TSimd.MultiplyAdd(factor, vector1, sum01);
                    factor = TSimd.Repeat(factors[leftStride]);
                    sum10 = TSimd.MultiplyAdd(factor, vector0, sum10);
                    sum11 = TSimd.MultiplyAdd(factor, vector1, sum11);
                    factor = TSimd.Repeat(factors[2 * leftStride]);
                    sum20 = TSimd.MultiplyAdd(factor, vector0, sum20);
                    sum21 = TSimd.MultiplyAdd(factor, vector1, sum21);
                    factor = TSimd.Repeat(factors[3 * leftStride]);
                    sum30 = TSimd.MultiplyAdd(factor, vector0, sum30);
                    sum31 = TSimd.MultiplyAdd(factor, vector1, sum31);
                }

                TSimd.Store(sum00, target);
                TSimd.Store(sum01, target + TSimd.Count);
                TSimd.Store(sum10, target + stride);
                TSimd.Store(sum11, target + stride + TSimd.Count);
                TSimd.Store(sum20, target + (2 * stride));
                TSimd.Store(sum21, target + (2 * stride) + TSimd.Count);
                TSimd.Store(sum30, target + (3 * stride));
                TSimd.Store(sum31, target + (3 * stride) + TSimd.Count);
            }
        }
    }
}
