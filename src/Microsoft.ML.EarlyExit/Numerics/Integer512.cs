using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>Thirty-two values at a time, with AVX-512BW.</summary>
internal readonly struct Integer512 : IIntegerOperations<Vector512<int>>
{
    public static int Count => Vector512<short>.Count;

    public static int ByteZero => 64;

    // Two products of bytes fit 16 bits with a sign: 2 · 127 · 128 is the most.
    public static int ByteLimit => 63;

    public static int Lanes => Vector512<int>.Count;

    public static bool SumsBytesInShorts => true;

    public static Vector512<int> Zero => Vector512<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<int> LoadWide(sbyte* source) => Avx512BW.ConvertToVector512Int16(Vector256.Load(source)).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<int> Load(void* source) => Vector512.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Nibble(Vector512<int> packed, [ConstantExpected] int index)
    {
        Vector512<short> values = packed.AsInt16();
        return (index == 3 ? values >> 12 : (values << (12 - (4 * index))) >> 12).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<int> LoadBytes(void* source) => Vector512.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<int> Broadcast(void* source) => Vector512.Create(*(int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Store(Vector512<int> vector, void* target) => vector.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Add(Vector512<int> left, Vector512<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Subtract(Vector512<int> left, Vector512<int> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAdd(Vector512<int> left, Vector512<int> right, Vector512<int> sums) =>
        Avx512BW.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAddBytes(Vector512<int> inputs, Vector512<int> weights, Vector512<int> sums) =>
        Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(inputs.AsByte(), weights.AsSByte()), Vector512<short>.One) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyBytes(Vector512<int> inputs, Vector512<int> weights) =>
        Avx512BW.MultiplyAddAdjacent(inputs.AsByte(), weights.AsSByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> AddShorts(Vector512<int> left, Vector512<int> right) => (left.AsInt16() + right.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> AddPairs(Vector512<int> shorts, Vector512<int> sums) =>
        Avx512BW.MultiplyAddAdjacent(shorts.AsInt16(), Vector512<short>.One) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryOffset(
        Vector512<int> weights0, Vector512<int> weights1, Vector512<int> weights2, Vector512<int> weights3, out Vector512<int> offset)
    {
        Vector512<short> sums = Pairs(weights0) + Pairs(weights1) + Pairs(weights2) + Pairs(weights3);
        offset = (sums * (short)-ByteZero).AsInt32();
        Vector512<short> sizes = Magnitudes(weights0) + Magnitudes(weights1) + Magnitudes(weights2) + Magnitudes(weights3);
        return Vector512.LessThanOrEqualAll(sizes, Vector512.Create((short)(short.MaxValue / ByteLimit)));

        static Vector512<short> Pairs(Vector512<int> weights) => Avx512BW.MultiplyAddAdjacent(Vector512<byte>.One, weights.AsSByte());

        static Vector512<short> Magnitudes(Vector512<int> weights) => Avx512BW.MultiplyAddAdjacent(Avx512BW.Abs(weights.AsSByte()), Vector512<sbyte>.One);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void AddScaled(Vector512<int> sums, float scale, float* totals, bool isFirst, float* factors)
    {
        Vector512<float> total = (isFirst ? Vector512<float>.Zero : Vector512.Load(totals)) + (Vector512.ConvertToSingle(sums) * scale);
        (factors is null ? total : total * Vector512.Load(factors)).Store(totals);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Sum(Vector512<int> sums) => Vector512.Sum(sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector512<int> sums0, Vector512<int> sums1, Vector512<int> sums2, Vector512<int> sums3) =>
        Integer256.Sum(
            sums0.GetLower() + sums0.GetUpper(), sums1.GetLower() + sums1.GetUpper(), sums2.GetLower() + sums2.GetUpper(),
            sums3.GetLower() + sums3.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Sum(
        Vector512<int> sums0, Vector512<int> sums1, Vector512<int> sums2, Vector512<int> sums3, Vector512<int> sums4, Vector512<int> sums5,
        Vector512<int> sums6, Vector512<int> sums7) =>
        Vector256.Create(Sum(sums0, sums1, sums2, sums3), Sum(sums4, sums5, sums6, sums7));
}
