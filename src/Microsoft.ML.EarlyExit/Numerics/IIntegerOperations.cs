using System.Diagnostics.CodeAnalysis;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>What products of integers need of one width of vectors, whose lanes are 32-bit sums. All of it is exact. Products of bytes
/// depend on <see cref="ByteLimit"/>, all others are the same in every width.</summary>
/// <typeparam name="TVector">Lanes of 32 bits, twice as many of 16, or four times as many of 8.</typeparam>
internal interface IIntegerOperations<TVector>
    where TVector : struct
{
    /// <summary>Values of 16 bits in a vector.</summary>
    static abstract int Count { get; }

    /// <summary>
    /// What stands for zero in inputs of 8 bits, which lie as far as <see cref="ByteLimit"/> to both sides of it: instructions that multiply bytes want one
    /// factor without a sign, and some of them hold two products in 16 bits.
    /// </summary>
    static abstract int ByteZero { get; }

    /// <summary>The largest distance of an input of 8 bits from zero.</summary>
    static abstract int ByteLimit { get; }

    static abstract TVector Zero { get; }

    /// <summary>A value in one lane, and zero in the others.</summary>
    static abstract TVector First(int value);

    /// <summary>Values of 8 bits, as many as <see cref="Count"/>, widened to 16.</summary>
    static abstract unsafe TVector LoadWide(sbyte* source);

    /// <summary>A vector as it lies in memory.</summary>
    static abstract unsafe TVector Load(void* source);

    /// <summary>The fourth <paramref name="index"/>, from the lowest, of each 16 bits, widened to 16 with its sign.</summary>
    static abstract TVector Nibble(TVector packed, [ConstantExpected] int index);

    static abstract TVector Add(TVector left, TVector right);

    /// <summary>Adds the products of values of 16 bits to sums.</summary>
    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector sums);

    /// <summary>Adds the products of inputs of 8 bits, with <see cref="ByteZero"/> for zero, and weights of 8 bits to sums.</summary>
    static abstract TVector MultiplyAddBytes(TVector inputs, TVector weights, TVector sums);

    /// <summary>The sum of all lanes.</summary>
    static abstract int Sum(TVector sums);

    /// <summary>The sums of all lanes of four vectors.</summary>
    static abstract Vector128<int> Sum(TVector sums0, TVector sums1, TVector sums2, TVector sums3);
}
