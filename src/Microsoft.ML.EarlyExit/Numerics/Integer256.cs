using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>Sixteen values at a time, with AVX2, and AVX-VNNI where there is that.</summary>
internal readonly struct Integer256 : IIntegerOperations<Vector256<int>>
{
    public static int Count => Vector256<short>.Count;

    public static int ByteZero => AvxVnni.IsSupported ? 128 : 64;

    // Two products of bytes fit 16 bits with a sign: 2 · 127 · 128 is the most.
    public static int ByteLimit => AvxVnni.IsSupported ? 127 : 63;

    public static int Lanes => Vector256<int>.Count;

    public static bool SumsBytesInShorts => !AvxVnni.IsSupported;

    public static Vector256<int> Zero => Vector256<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector256<int> LoadWide(sbyte* source) => Avx2.ConvertToVector256Int16(source).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector256<int> Load(void* source) => Vector256.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Nibble(Vector256<int> packed, [ConstantExpected] int index)
    {
        Vector256<short> values = packed.AsInt16();
        return (index == 3 ? values >> 12 : (values << (12 - (4 * index))) >> 12).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector256<int> LoadBytes(void* source) => Vector256.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector256<int> Broadcast(void* source) => Avx2.BroadcastScalarToVector256((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Store(Vector256<int> vector, void* target) => vector.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> left, Vector256<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Subtract(Vector256<int> left, Vector256<int> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAdd(Vector256<int> left, Vector256<int> right, Vector256<int> sums) =>
        AvxVnni.IsSupported
            ? AvxVnni.MultiplyWideningAndAdd(sums, left.AsInt16(), right.AsInt16())
            : Avx2.Add(Avx2.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()), sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAddBytes(Vector256<int> inputs, Vector256<int> weights, Vector256<int> sums) =>
        AvxVnni.IsSupported
            ? AvxVnni.MultiplyWideningAndAdd(sums, inputs.AsByte(), weights.AsSByte())
            : Avx2.Add(Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(inputs.AsByte(), weights.AsSByte()), Vector256<short>.One), sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyBytes(Vector256<int> inputs, Vector256<int> weights) =>
        Avx2.MultiplyAddAdjacent(inputs.AsByte(), weights.AsSByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddShorts(Vector256<int> left, Vector256<int> right) => (left.AsInt16() + right.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddPairs(Vector256<int> shorts, Vector256<int> sums) =>
        Avx2.MultiplyAddAdjacent(shorts.AsInt16(), Vector256<short>.One) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryOffset(
        Vector256<int> weights0, Vector256<int> weights1, Vector256<int> weights2, Vector256<int> weights3, out Vector256<int> offset)
    {
        Vector256<short> sums = Pairs(weights0) + Pairs(weights1) + Pairs(weights2) + Pairs(weights3);
        offset = (sums * (short)-ByteZero).AsInt32();
        Vector256<short> sizes = Magnitudes(weights0) + Magnitudes(weights1) + Magnitudes(weights2) + Magnitudes(weights3);
        return Vector256.LessThanOrEqualAll(sizes, Vector256.Create((short)(short.MaxValue / ByteLimit)));

        static Vector256<short> Pairs(Vector256<int> weights) => Avx2.MultiplyAddAdjacent(Vector256<byte>.One, weights.AsSByte());

        static Vector256<short> Magnitudes(Vector256<int> weights) => Avx2.MultiplyAddAdjacent(Avx2.Abs(weights.AsSByte()), Vector256<sbyte>.One);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void AddScaled(Vector256<int> sums, float scale, float* totals, bool isFirst, float* factors)
    {
        Vector256<float> total = (isFirst ? Vector256<float>.Zero : Vector256.Load(totals)) + (Vector256.ConvertToSingle(sums) * scale);
        (factors is null ? total : total * Vector256.Load(factors)).Store(totals);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Sum(Vector256<int> sums) => Vector256.Sum(sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector256<int> sums0, Vector256<int> sums1, Vector256<int> sums2, Vector256<int> sums3)
    {
        Vector256<int> sums = HalfSums(sums0, sums1, sums2, sums3);
        return sums.GetLower() + sums.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Sum(
        Vector256<int> sums0, Vector256<int> sums1, Vector256<int> sums2, Vector256<int> sums3, Vector256<int> sums4, Vector256<int> sums5,
        Vector256<int> sums6, Vector256<int> sums7)
    {
        Vector256<int> first = HalfSums(sums0, sums1, sums2, sums3), second = HalfSums(sums4, sums5, sums6, sums7);
        return Avx2.Permute2x128(first, second, 0x20) + Avx2.Permute2x128(first, second, 0x31);
    }

    // As horizontal additions do, which cost more.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> HalfSums(Vector256<int> sums0, Vector256<int> sums1, Vector256<int> sums2, Vector256<int> sums3)
    {
        Vector256<int> first = Avx2.UnpackLow(sums0, sums1) + Avx2.UnpackHigh(sums0, sums1);
        Vector256<int> second = Avx2.UnpackLow(sums2, sums3) + Avx2.UnpackHigh(sums2, sums3);
        return Avx2.UnpackLow(first.AsInt64(), second.AsInt64()).AsInt32() + Avx2.UnpackHigh(first.AsInt64(), second.AsInt64()).AsInt32();
    }
}
