using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed unsafe class ScreenKernelTests
{
    // Width, rows.
    public static TheoryData<int, int> Shapes => new() { { 1, 3 }, { 15, 4 }, { 64, 1 }, { 100, 9 }, { 256, 30 }, { 513, 6 }, { 1100, 7 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Every_vector_width_gives_the_definition_and_chosen_rows_the_same_to_the_bit(int width, int rows)
    {
        var random = new Random(width);
        foreach (bool isExtreme in new[] { false, true })
        {
            sbyte[] values = [.. Enumerable.Range(0, rows * width).Select(_ => isExtreme ? (sbyte)-128 : (sbyte)random.Next(-128, 128))];
            float[] scales = [.. Enumerable.Range(0, rows).Select(_ => random.NextSingle())];
            short[] inputs = [.. Enumerable.Range(0, 2 * width).Select(_ => (short)(isExtreme ? -32766 : random.Next(-32766, 32767)))];
            float[] inputScales = [1e-3f, 2e-8f];
            int[] ids = [.. Enumerable.Range(0, rows + 2).Select(_ => random.Next(rows))];
            foreach (int parts in new[] { 1, 2 })
            {
                float[] expected = new float[rows];
                fixed (sbyte* weights = values)
                fixed (float* rowScales = scales, partScales = inputScales)
                fixed (short* input = inputs)
                fixed (int* chosen = ids)
                {
                    float[][] all = [new float[rows], new float[rows], new float[rows], new float[rows], new float[rows]];
                    float[][] some = [new float[ids.Length], new float[ids.Length], new float[ids.Length], new float[ids.Length], new float[ids.Length]];
                    fixed (float* products = all[0], picked = some[0])
                    {
                        ScreenKernel.Multiply(weights, rowScales, width, 0, rows / 2, input, partScales, parts, products);
                        ScreenKernel.Multiply(weights, rowScales, width, rows / 2, rows, input, partScales, parts, products);
                        ScreenKernel.MultiplyRows(weights, rowScales, width, chosen, ids.Length, input, partScales, parts, picked);
                    }

                    Take<IntegerScalar, int>(all[1], some[1]);
                    Take<Integer128, Vector128<int>>(all[2], some[2]);
                    if (Vector256.IsHardwareAccelerated)
                        Take<Integer256, Vector256<int>>(all[3], some[3]);
                    if (Vector512.IsHardwareAccelerated)
                        Take<Integer512, Vector512<int>>(all[4], some[4]);

                    void Take<TSimd, TVector>(float[] ofAll, float[] ofSome)
                        where TSimd : struct, IIntegerOperations<TVector>
                        where TVector : struct
                    {
                        fixed (sbyte* weights = values)
                        fixed (float* rowScales = scales, partScales = inputScales, products = ofAll, picked = ofSome)
                        fixed (short* input = inputs)
                        fixed (int* chosen = ids)
                        {
                            ScreenKernel.Multiply<TSimd, TVector>(weights, rowScales, width, 0, rows, input, partScales, parts, products);
                            ScreenKernel.MultiplyRows<TSimd, TVector>(weights, rowScales, width, chosen, ids.Length, input, partScales, parts, picked);
                        }

                        Assert.Equal(all[0], ofAll);
                        Assert.Equal(some[0], ofSome);
                    }

                    for (int row = 0; row < rows; row++)
                    {
                        (double product, double size) = (0, 0);
                        for (int at = 0; at < width; at++)
                        {
                            double input0 = (double)inputScales[0] * inputs[at], input1 = parts == 1 ? 0 : (double)inputScales[1] * inputs[width + at];
                            product += scales[row] * values[(row * width) + at] * (input0 + input1);
                            size += Math.Abs(scales[row] * values[(row * width) + at] * input0);
                        }

                        Assert.Equal(product, all[0][row], 1e-6 * size);
                    }

                    Assert.Equal(ids.Select(id => all[0][id]), some[0]);
                }
            }
        }
    }
}
