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

    public static Vector512<int> Zero => Vector512<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> First(int value) => Vector512.CreateScalar(value);

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
    public static Vector512<int> Add(Vector512<int> left, Vector512<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAdd(Vector512<int> left, Vector512<int> right, Vector512<int> sums) =>
        Avx512BW.MultiplyAddAdjacent(left.AsInt16(), right.AsInt16()) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAddBytes(Vector512<int> inputs, Vector512<int> weights, Vector512<int> sums) =>
        Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(inputs.AsByte(), weights.AsSByte()), Vector512<short>.One) + sums;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Sum(Vector512<int> sums) => Vector512.Sum(sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector512<int> sums0, Vector512<int> sums1, Vector512<int> sums2, Vector512<int> sums3) =>
        Integer256.Sum(
            sums0.GetLower() + sums0.GetUpper(), sums1.GetLower() + sums1.GetUpper(), sums2.GetLower() + sums2.GetUpper(),
            sums3.GetLower() + sums3.GetUpper());
}
