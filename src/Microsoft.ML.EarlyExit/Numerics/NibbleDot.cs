using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>
/// Products of rows of 4-bit weights with one input, with AVX2. The instruction that multiplies bytes wants one factor without a sign, which weights are
/// after 8 is added to them, and the other of 8 bits, which halves of an input are. So weights need not be widened, and half as many vectors are multiplied.
/// </summary>
internal static unsafe class NibbleDot
{
    /// <summary>Values whose halves lie together, and what of an input they are summed over for each.</summary>
    public const int Unit = 64;

    private const int Half = Unit / 2;
    private const int Ahead = 2048;

    /// <summary>
    /// Writes a unit's values, at most <see cref="NibbleKernel.LargestInput"/>, as 256 times an upper half and a lower one, both with a sign: the upper halves
    /// of the even values, those of the odd ones, then the lower ones likewise.
    /// </summary>
    /// <returns>What was added to the products of this unit by adding 8 to each weight.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Split(short* values, sbyte* halves)
    {
        Vector256<int> pairs0 = Vector256.Load((int*)values), pairs1 = Vector256.Load((int*)values + 8);
        Vector256<int> pairs2 = Vector256.Load((int*)values + 16), pairs3 = Vector256.Load((int*)values + 24);
        Vector256<short> even0 = Vector256.Narrow(pairs0, pairs1), even1 = Vector256.Narrow(pairs2, pairs3);
        Vector256<short> odd0 = Vector256.Narrow(pairs0 >> 16, pairs1 >> 16), odd1 = Vector256.Narrow(pairs2 >> 16, pairs3 >> 16);
        Vector256.Narrow(Upper(even0), Upper(even1)).Store(halves);
        Vector256.Narrow(Upper(odd0), Upper(odd1)).Store(halves + Half);
        Vector256.Narrow(even0, even1).Store(halves + Unit);
        Vector256.Narrow(odd0, odd1).Store(halves + Unit + Half);
        return 8 * Vector256.Sum(Pairs(even0) + Pairs(even1) + Pairs(odd0) + Pairs(odd1));

        static Vector256<short> Upper(Vector256<short> value) => (value + Vector256.Create((short)128)) >> 8;

        static Vector256<int> Pairs(Vector256<short> value) => Avx2.MultiplyAddAdjacent(value, Vector256<short>.One);
    }

    /// <summary>
    /// Computes <c>outputs[row] = inputScale · Σ scales[row, block] · Σ values[row, k] · input[k]</c> for rows [first, end), to the bit as vectors of other
    /// widths do.
    /// </summary>
    /// <param name="values">Weights, [rows, width].</param>
    /// <param name="scales">[rows, width / block].</param>
    /// <param name="width">Weights of a row.</param>
    /// <param name="block">Weights that have one scale.</param>
    /// <param name="first">The first row.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="halves">The input, in units.</param>
    /// <param name="added">What <see cref="Split"/> returned for each unit.</param>
    /// <param name="inputScale">The input's scale.</param>
    /// <param name="outputs">Takes the products.</param>
    public static void Multiply(
        byte* values, float* scales, int width, int block, int first, int end, sbyte* halves, int* added, float inputScale, float* outputs) =>
        Multiply(
            values, scales, width, block, first, end, halves, added, inputScale, outputs,
            new Constants(Vector256.Create((byte)0x88), Vector256.Create((byte)0x0F), Vector256.Create((short)256), Vector256<short>.One));

    // What is not known to be constant stays in registers; loading it for each vector costs a tenth.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(
        byte* values, float* scales, int width, int block, int first, int end, sbyte* halves, int* added, float inputScale, float* outputs,
        Constants constants)
    {
        int blocks = width / block;
        values += (long)first * width / 2;
        scales += (long)first * blocks;
        for (int row = first; row < end; row++, values += width / 2, scales += blocks)
        {
            float total = 0;
            int at = 0;
            byte* weights = values;
            sbyte* input = halves;
            if (block == Unit)
            {
                for (; at + 4 <= blocks; at += 4, weights += 2 * Unit, input += 8 * Unit)
                {
                    IntegerKernel.Prefetch(weights + Ahead, 2 * Unit);
                    Vector128<int> sums = Integer256.Sum(
                        constants.Products(weights, input), constants.Products(weights + Half, input + (2 * Unit)),
                        constants.Products(weights + Unit, input + (4 * Unit)), constants.Products(weights + Unit + Half, input + (6 * Unit)));
                    Vector128<float> products = Vector128.ConvertToSingle(sums - Vector128.Load(added + at)) * Vector128.Load(scales + at);
                    total = total + products[0] + products[1] + products[2] + products[3];
                }
            }

            for (int* more = added + (at * (block / Unit)); at < blocks; at++)
            {
                Vector256<int> sums = Vector256<int>.Zero;
                int addedToBlock = 0;
                for (int unit = 0; unit < block; unit += Unit, weights += Half, input += 2 * Unit)
                {
                    sums += constants.Products(weights, input);
                    addedToBlock += *more++;
                }

                // Sums may have wrapped round; what is left of them fits.
                total += (Vector256.Sum(sums) - addedToBlock) * scales[at];
            }

            outputs[row] = inputScale * total;
        }
    }

    /// <summary>What each vector of weights is combined with.</summary>
    private readonly ref struct Constants(Vector256<byte> eights, Vector256<byte> mask, Vector256<short> upperUnit, Vector256<short> lowerUnit)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<int> Products(byte* values, sbyte* halves)
        {
            Vector256<byte> weights = Vector256.Load(values) ^ eights;
            Vector256<byte> even = weights & mask, odd = (weights.AsUInt16() >> 4).AsByte() & mask;
            if (AvxVnni.IsSupported)
            {
                Vector256<int> upperSums = AvxVnni.MultiplyWideningAndAdd(Vector256<int>.Zero, even, Vector256.Load(halves));
                Vector256<int> lowerSums = AvxVnni.MultiplyWideningAndAdd(Vector256<int>.Zero, even, Vector256.Load(halves + Unit));
                upperSums = AvxVnni.MultiplyWideningAndAdd(upperSums, odd, Vector256.Load(halves + Half));
                lowerSums = AvxVnni.MultiplyWideningAndAdd(lowerSums, odd, Vector256.Load(halves + Unit + Half));
                return (upperSums << 8) + lowerSums;
            }

            // Four products of at most 15 · 128 fit 16 bits.
            Vector256<short> upper = Avx2.MultiplyAddAdjacent(even, Vector256.Load(halves)) + Avx2.MultiplyAddAdjacent(odd, Vector256.Load(halves + Half));
            Vector256<short> lower = Avx2.MultiplyAddAdjacent(even, Vector256.Load(halves + Unit)) +
                Avx2.MultiplyAddAdjacent(odd, Vector256.Load(halves + Unit + Half));
            return Avx2.MultiplyAddAdjacent(upper, upperUnit) + Avx2.MultiplyAddAdjacent(lower, lowerUnit);
        }
    }
}
