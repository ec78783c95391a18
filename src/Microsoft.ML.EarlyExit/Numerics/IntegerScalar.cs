using System.Diagnostics.CodeAnalysis;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>One value at a time: what the vectors are compared with, and where there are none.</summary>
internal readonly struct IntegerScalar : IIntegerOperations<int>
{
    public static int Count => 1;

    public static int ByteZero => 0;

    public static int ByteLimit => 127;

    public static int Zero => 0;

    public static int First(int value) => value;

    public static unsafe int LoadWide(sbyte* source) => *source;

    public static unsafe int Load(void* source) => *(short*)source;

    public static int Nibble(int packed, [ConstantExpected] int index) => (short)(packed << (12 - (4 * index))) >> 12;

    public static int Add(int left, int right) => left + right;

    public static int MultiplyAdd(int left, int right, int sums) => (left * right) + sums;

    // The vector holds two values of 8 bits.
    public static int MultiplyAddBytes(int inputs, int weights, int sums) =>
        ((sbyte)inputs * (sbyte)weights) + ((sbyte)(inputs >> 8) * (sbyte)(weights >> 8)) + sums;

    public static int Sum(int sums) => sums;

    public static Vector128<int> Sum(int sums0, int sums1, int sums2, int sums3) => Vector128.Create(sums0, sums1, sums2, sums3);
}
