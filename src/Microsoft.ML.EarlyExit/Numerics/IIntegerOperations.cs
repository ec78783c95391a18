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

    /// <summary>Sums of 32 bits in a vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>
    /// What stands for zero in inputs of 8 bits, which lie as far as <see cref="ByteLimit"/> to both sides of it: instructions that multiply bytes want one
    /// factor without a sign, and some of them hold two products in 16 bits.
    /// </summary>
    static abstract int ByteZero { get; }

    /// <summary>The largest distance of an input of 8 bits from zero.</summary>
    static abstract int ByteLimit { get; }

    /// <summary>Whether products of bytes cost less where sums of 16 bits are made of several of them before those of 32.</summary>
    static abstract bool SumsBytesInShorts { get; }

    static abstract TVector Zero { get; }

    /// <summary>Values of 8 bits, as many as <see cref="Count"/>, widened to 16.</summary>
    static abstract unsafe TVector LoadWide(sbyte* source);

    /// <summary>A vector as it lies in memory.</summary>
    static abstract unsafe TVector Load(void* source);

    /// <summary>The fourth <paramref name="index"/>, from the lowest, of each 16 bits, widened to 16 with its sign.</summary>
    static abstract TVector Nibble(TVector packed, [ConstantExpected] int index);

    /// <summary>Values of 8 bits, four for each lane.</summary>
    static abstract unsafe TVector LoadBytes(void* source);

    /// <summary>The same four bytes in all lanes.</summary>
    static abstract unsafe TVector Broadcast(void* source);

    static abstract unsafe void Store(TVector vector, void* target);

    static abstract TVector Add(TVector left, TVector right);

    static abstract TVector Subtract(TVector left, TVector right);

    /// <summary>Adds the products of values of 16 bits to sums.</summary>
    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector sums);

    /// <summary>Adds the products of four inputs of 8 bits, with <see cref="ByteZero"/> for zero, and four weights of 8 bits to the sum of each lane.</summary>
    static abstract TVector MultiplyAddBytes(TVector inputs, TVector weights, TVector sums);

    /// <summary>
    /// Products of inputs of 8 bits, with <see cref="ByteZero"/> for zero, and weights of 8 bits, summed in pairs to 16 bits. It, <see cref="AddShorts"/>,
    /// <see cref="AddPairs"/> and <see cref="TryOffset"/> are for where <see cref="SumsBytesInShorts"/>.
    /// </summary>
    static abstract TVector MultiplyBytes(TVector inputs, TVector weights);

    /// <summary>Sums of 16 bits, whose higher bits are lost.</summary>
    static abstract TVector AddShorts(TVector left, TVector right);

    /// <summary>Adds pairs of 16 bits with a sign to sums of 32.</summary>
    static abstract TVector AddPairs(TVector shorts, TVector sums);

    /// <summary>What, added to the sums of <see cref="MultiplyBytes"/> of four vectors of weights, makes inputs' zero zero.</summary>
    /// <returns>Whether such sums fit 16 bits for any inputs within <see cref="ByteLimit"/>.</returns>
    static abstract bool TryOffset(TVector weights0, TVector weights1, TVector weights2, TVector weights3, out TVector offset);

    /// <summary>Adds sums, times a scale, to floats, or to zero for the first; then multiplies those with factors, if any.</summary>
    static abstract unsafe void AddScaled(TVector sums, float scale, float* totals, bool isFirst, float* factors);

    /// <summary>The sum of all lanes.</summary>
    static abstract int Sum(TVector sums);

    /// <summary>The sums of all lanes of four vectors.</summary>
    static abstract Vector128<int> Sum(TVector sums0, TVector sums1, TVector sums2, TVector sums3);

    /// <summary>The sums of all lanes of eight vectors.</summary>
    static abstract Vector256<int> Sum(
        TVector sums0, TVector sums1, TVector sums2, TVector sums3, TVector sums4, TVector sums5, TVector sums6, TVector sums7);
}
