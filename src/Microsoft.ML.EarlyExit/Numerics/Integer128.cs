using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>Eight values at a time: Arm, with its products of bytes where it has them, and x86 without AVX2.</summary>
internal readonly struct Integer128 : IIntegerOperations<Vector128<int>>
{
    public static int Count => Vector128<short>.Count;

    public static int ByteZero => 0;

    public static int ByteLimit => 127;

    public static int Lanes => Vector128<int>.Count;

    public static bool SumsBytesInShorts => false;

    public static Vector128<int> Zero => Vector128<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector128<int> LoadWide(sbyte* source) => Vector64.Load(source) is var bytes && AdvSimd.IsSupported
        ? AdvSimd.SignExtendWideningLower(bytes).AsInt32()
        : Vector128.WidenLower(bytes.ToVector128Unsafe()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector128<int> Load(void* source) => Vector128.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Nibble(Vector128<int> packed, [ConstantExpected] int index)
    {
        Vector128<short> values = packed.AsInt16();
        return (index == 3 ? values >> 12 : (values << (12 - (4 * index))) >> 12).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector128<int> LoadBytes(void* source) => Vector128.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector128<int> Broadcast(void* source) => Vector128.Create(*(int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Store(Vector128<int> vector, void* target) => vector.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Add(Vector128<int> left, Vector128<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Subtract(Vector128<int> left, Vector128<int> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> MultiplyAdd(Vector128<int> left, Vector128<int> right, Vector128<int> sums)
    {
        Vector128<short> first = left.AsInt16(), second = right.AsInt16();
        if (Sse2.IsSupported)
            return Sse2.MultiplyAddAdjacent(first, second) + sums;
        if (AdvSimd.Arm64.IsSupported)
        {
            return AdvSimd.MultiplyWideningUpperAndAdd(
                AdvSimd.MultiplyWideningLowerAndAdd(sums, first.GetLower(), second.GetLower()), first, second);
        }

        return sums + (Vector128.WidenLower(first) * Vector128.WidenLower(second)) + (Vector128.WidenUpper(first) * Vector128.WidenUpper(second));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> MultiplyAddBytes(Vector128<int> inputs, Vector128<int> weights, Vector128<int> sums)
    {
        Vector128<sbyte> first = inputs.AsSByte(), second = weights.AsSByte();
        if (Dp.IsSupported)
            return Dp.DotProduct(sums, first, second);
        if (AdvSimd.Arm64.IsSupported)
        {
            Vector128<int> lower = AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningLower(first.GetLower(), second.GetLower()));
            return sums + AdvSimd.Arm64.AddPairwise(lower, AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningUpper(first, second)));
        }

        if (Sse2.IsSupported)
            return sums + Sse2.MultiplyAddAdjacent(Even(inputs), Even(weights)) + Sse2.MultiplyAddAdjacent(Odd(inputs), Odd(weights));
        for (int shift = 0; shift < 32; shift += 8)
            sums += ((inputs << shift) >> 24) * ((weights << shift) >> 24);
        return sums;

        static Vector128<short> Even(Vector128<int> bytes) => (bytes.AsInt16() << 8) >> 8;

        static Vector128<short> Odd(Vector128<int> bytes) => bytes.AsInt16() >> 8;
    }

    public static Vector128<int> MultiplyBytes(Vector128<int> inputs, Vector128<int> weights) => throw new NotSupportedException();

    public static Vector128<int> AddShorts(Vector128<int> left, Vector128<int> right) => throw new NotSupportedException();

    public static Vector128<int> AddPairs(Vector128<int> shorts, Vector128<int> sums) => throw new NotSupportedException();

    public static bool TryOffset(
        Vector128<int> weights0, Vector128<int> weights1, Vector128<int> weights2, Vector128<int> weights3, out Vector128<int> offset) =>
        throw new NotSupportedException();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void AddScaled(Vector128<int> sums, float scale, float* totals, bool isFirst, float* factors)
    {
        Vector128<float> total = (isFirst ? Vector128<float>.Zero : Vector128.Load(totals)) + (Vector128.ConvertToSingle(sums) * scale);
        (factors is null ? total : total * Vector128.Load(factors)).Store(totals);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Sum(Vector128<int> sums) => Vector128.Sum(sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector128<int> sums0, Vector128<int> sums1, Vector128<int> sums2, Vector128<int> sums3)
    {
        if (AdvSimd.Arm64.IsSupported)
            return AdvSimd.Arm64.AddPairwise(AdvSimd.Arm64.AddPairwise(sums0, sums1), AdvSimd.Arm64.AddPairwise(sums2, sums3));
        return Vector128.Create(Vector128.Sum(sums0), Vector128.Sum(sums1), Vector128.Sum(sums2), Vector128.Sum(sums3));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Sum(
        Vector128<int> sums0, Vector128<int> sums1, Vector128<int> sums2, Vector128<int> sums3, Vector128<int> sums4, Vector128<int> sums5,
        Vector128<int> sums6, Vector128<int> sums7) =>
        Vector256.Create(Sum(sums0, sums1, sums2, sums3), Sum(sums4, sums5, sums6, sums7));
}
