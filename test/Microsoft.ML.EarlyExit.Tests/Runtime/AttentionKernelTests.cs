using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed unsafe class AttentionKernelTests
{
    // Lengths around the kernel's blocks of keys.
    [Theory]
    [InlineData(16, 1)]
    [InlineData(16, 3)]
    [InlineData(32, 4)]
    [InlineData(64, 127)]
    [InlineData(64, 128)]
    [InlineData(64, 129)]
    [InlineData(80, 400)]
    [InlineData(128, 33)]
    public void Every_vector_width_gives_softmax_of_the_scores_times_the_values(int width, int count)
    {
        float[] query = Random(width, 1), keys = Random(count * width, 2), values = Random(count * width, 3), bias = Random(count, 4);
        foreach (float[]? added in new[] { null, bias })
        {
            double[] expected = Defined(query, keys, values, added, width, count);
            AssertClose(expected, Run(query, keys, values, added, width, count, &AttentionKernel.Attend<SimdScalar, float>));
            AssertClose(expected, Run(query, keys, values, added, width, count, &AttentionKernel.Attend<Simd128, Vector128<float>>));
            AssertClose(expected, Run(query, keys, values, added, width, count, &AttentionKernel.Attend<Simd256, Vector256<float>>));
            AssertClose(expected, Run(query, keys, values, added, width, count, &AttentionKernel.Attend<Simd512, Vector512<float>>));
            AssertClose(expected, Run(query, keys, values, added, width, count, &AttentionKernel.Attend));
        }
    }

    [Theory]
    [InlineData(8)]
    [InlineData(24)]
    [InlineData(40)]
    [InlineData(72)]
    public void A_width_takes_the_vectors_that_divide_it(int width)
    {
        const int Count = 140;
        float[] query = Random(width, 1), keys = Random(Count * width, 2), values = Random(Count * width, 3);
        AssertClose(Defined(query, keys, values, null, width, Count), Run(query, keys, values, null, width, Count, &AttentionKernel.Attend));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Scores_of_any_size_neither_overflow_nor_vanish(int largest)
    {
        // The largest score is in the first block of keys, or in a later one, which then rescales what came before.
        const int Width = 16, Count = 300;
        float[] query = [.. Enumerable.Repeat(1f, Width)], keys = Random(Count * Width, 5), values = Random(Count * Width, 6);
        keys.AsSpan((largest == 0 ? 7 : 250) * Width, Width).Fill(1000);
        float[] actual = Run(query, keys, values, null, Width, Count, &AttentionKernel.Attend);
        AssertClose([.. values.Skip((largest == 0 ? 7 : 250) * Width).Take(Width).Select(value => (double)value)], actual);
    }

    [Fact]
    public void What_is_no_number_is_not_hidden()
    {
        const int Width = 16, Count = 200;
        float[] query = Random(Width, 1), keys = Random(Count * Width, 2), values = Random(Count * Width, 3);
        keys[(150 * Width) + 3] = float.NaN;
        Assert.All(Run(query, keys, values, null, Width, Count, &AttentionKernel.Attend), value => Assert.True(float.IsNaN(value)));
    }

    private static double[] Defined(float[] query, float[] keys, float[] values, float[]? bias, int width, int count)
    {
        double[] scores =
        [
            .. Enumerable.Range(0, count)
                .Select(key => Enumerable.Range(0, width).Sum(at => (double)query[at] * keys[(key * width) + at]) + (bias?[key] ?? 0)),
        ];
        double max = scores.Max();
        double[] weights = [.. scores.Select(score => Math.Exp(score - max))];
        return [.. Enumerable.Range(0, width).Select(at => Enumerable.Range(0, count).Sum(key => weights[key] * values[(key * width) + at]) / weights.Sum())];
    }

    private static float[] Run(
        float[] query, float[] keys, float[] values, float[]? bias, int width, int count,
        delegate*<float*, float*, float*, int, float*, int, float*, void> attend)
    {
        float[] output = new float[width];
        fixed (float* q = query, k = keys, v = values, b = bias, o = output)
            attend(q, k, v, count, b, width, o);
        return output;
    }

    private static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
    }

    private static void AssertClose(double[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int index = 0; index < expected.Length; index++)
            Assert.Equal(expected[index], actual[index], 1e-5);
    }
}
