using System.Diagnostics.CodeAnalysis;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>One value at a time: what the vectors are compared with, and where there are none.</summary>
internal readonly struct IntegerScalar : IIntegerOperations<int>
{
    public static int Count => 1;

    public static int ByteZero => 0;

    public static int ByteLimit => 127;

    public static int Lanes => 1;

    public static bool SumsBytesInShorts => false;

    public static int Zero => 0;

    public static unsafe int LoadWide(sbyte* source) => *source;

    public static unsafe int Load(void* source) => *(short*)source;

    public static int Nibble(int packed, [ConstantExpected] int index) => (short)(packed << (12 - (4 * index))) >> 12;

    public static unsafe int LoadBytes(void* source) => *(int*)source;

    public static unsafe int Broadcast(void* source) => *(int*)source;

    public static unsafe void Store(int vector, void* target) => *(int*)target = vector;

    public static int Add(int left, int right) => left + right;

    public static int Subtract(int left, int right) => left - right;

    public static int MultiplyAdd(int left, int right, int sums) => (left * right) + sums;

    public static int MultiplyAddBytes(int inputs, int weights, int sums)
    {
        for (int shift = 0; shift < 32; shift += 8)
            sums += (sbyte)(inputs >> shift) * (sbyte)(weights >> shift);
        return sums;
    }

    public static int MultiplyBytes(int inputs, int weights) => throw new NotSupportedException();

    public static int AddShorts(int left, int right) => throw new NotSupportedException();

    public static int AddPairs(int shorts, int sums) => throw new NotSupportedException();

    public static bool TryOffset(int weights0, int weights1, int weights2, int weights3, out int offset) => throw new NotSupportedException();

    public static unsafe void AddScaled(int sums, float scale, float* totals, bool isFirst, float* factors)
    {
        *totals = (isFirst ? 0 : *totals) + (sums * scale);
        if (factors is not null)
            *totals *= *factors;
    }

    public static int Sum(int sums) => sums;

    public static Vector128<int> Sum(int sums0, int sums1, int sums2, int sums3) => Vector128.Create(sums0, sums1, sums2, sums3);

    public static Vector256<int> Sum(
        int sums0, int sums1, int sums2, int sums3, int sums4, int sums5, int sums6, int sums7) =>
        Vector256.Create(Sum(sums0, sums1, sums2, sums3), Sum(sums4, sums5, sums6, sums7));
}
