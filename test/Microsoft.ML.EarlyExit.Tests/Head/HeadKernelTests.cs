using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed unsafe class HeadKernelTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 3, 2)]
    [InlineData(64, 130, 1)]
    [InlineData(48, 33, 5)]
    [InlineData(257, 21, 4)]
    [InlineData(1024, 50, 9)]
    public void Every_vector_width_gives_the_scalar_reference(int width, int rows, int inputs)
    {
        (float[] weights, float[] values) = Random(width, rows, inputs);
        float[] expected = Run(weights, values, width, rows, inputs, &HeadKernel.Multiply<Float32Rows, SimdScalar, float>);
        double tolerance = 1e-5 * width;
        AssertClose(expected, Run(weights, values, width, rows, inputs, &HeadKernel.Multiply<Float32Rows, Simd128, Vector128<float>>), tolerance);
        AssertClose(expected, Run(weights, values, width, rows, inputs, &HeadKernel.Multiply<Float32Rows, Simd256, Vector256<float>>), tolerance);
        AssertClose(expected, Run(weights, values, width, rows, inputs, &HeadKernel.Multiply<Float32Rows, Simd512, Vector512<float>>), tolerance);
        AssertClose(expected, Run(weights, values, width, rows, inputs, &HeadKernel.Multiply<Float32Rows>), tolerance);
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 3, 2)]
    [InlineData(48, 33, 5)]
    [InlineData(257, 21, 4)]
    public void Upper_halves_give_what_the_whole_floats_give_to_the_bit(int width, int rows, int inputs)
    {
        (float[] weights, float[] values) = Random(width, rows, inputs);
        uint[] upper = [.. weights.Select(weight => BitConverter.SingleToUInt32Bits(weight) >> 16)];
        float[] whole = [.. upper.Select(bits => BitConverter.UInt32BitsToSingle(bits << 16))];
        // Two of them in the memory of a float.
        float[] halves = MemoryMarshal.Cast<ushort, float>([.. upper.Select(bits => (ushort)bits), .. new ushort[upper.Length % 2]]).ToArray();
        Equal(&HeadKernel.Multiply<Float32Rows, SimdScalar, float>, &HeadKernel.Multiply<BFloat16Rows, SimdScalar, float>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd128, Vector128<float>>, &HeadKernel.Multiply<BFloat16Rows, Simd128, Vector128<float>>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd256, Vector256<float>>, &HeadKernel.Multiply<BFloat16Rows, Simd256, Vector256<float>>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd512, Vector512<float>>, &HeadKernel.Multiply<BFloat16Rows, Simd512, Vector512<float>>);
        Equal(&HeadKernel.Multiply<Float32Rows>, &HeadKernel.Multiply<BFloat16Rows>);

        void Equal(
            delegate*<void*, int, int, int, float*, int, float*, int, void> wholeKernel,
            delegate*<void*, int, int, int, float*, int, float*, int, void> halvesKernel) =>
            Assert.Equal(Run(whole, values, width, rows, inputs, wholeKernel), Run(halves, values, width, rows, inputs, halvesKernel));
    }

    [Fact]
    public void A_rows_logits_are_the_same_to_the_bit_beside_any_neighbours()
    {
        (float[] weights, float[] values) = Random(100, 61, 7);
        float[] together = Run(weights, values, 100, 61, 7, &HeadKernel.Multiply<Float32Rows>);
        for (int input = 0; input < 7; input++)
        {
            float[] alone = Run(weights, values[(input * 100)..((input + 1) * 100)], 100, 61, 1, &HeadKernel.Multiply<Float32Rows>);
            Assert.Equal(together[(input * 61)..((input + 1) * 61)], alone);
        }
    }

    [Theory]
    [InlineData(7, 1)]
    [InlineData(100, 61)]
    [InlineData(1030, 6)]
    public void Chosen_rows_give_what_the_whole_product_gives_for_them_to_the_bit(int width, int rows)
    {
        (float[] weights, float[] values) = Random(width, rows, 1);
        int[] ids = [.. Enumerable.Range(0, (2 * rows) + 1).Select(at => at * 7 % rows)];
        Equal(&HeadKernel.Multiply<Float32Rows, SimdScalar, float>, &HeadKernel.MultiplyRows<Float32Rows, SimdScalar, float>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd128, Vector128<float>>, &HeadKernel.MultiplyRows<Float32Rows, Simd128, Vector128<float>>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd256, Vector256<float>>, &HeadKernel.MultiplyRows<Float32Rows, Simd256, Vector256<float>>);
        Equal(&HeadKernel.Multiply<Float32Rows, Simd512, Vector512<float>>, &HeadKernel.MultiplyRows<Float32Rows, Simd512, Vector512<float>>);
        Equal(&HeadKernel.Multiply<BFloat16Rows>, &HeadKernel.MultiplyRows<BFloat16Rows>);

        void Equal(
            delegate*<void*, int, int, int, float*, int, float*, int, void> kernel, delegate*<void*, int, int*, int, float*, float*, void> rowsKernel)
        {
            float[] whole = Run(weights, values, width, rows, 1, kernel);
            float[] products = new float[ids.Length];
            fixed (float* w = weights, v = values, p = products)
            fixed (int* chosen = ids)
                rowsKernel(w, width, chosen, ids.Length, v, p);
            Assert.Equal(ids.Select(id => whole[id]), products);
        }
    }

    [Fact]
    public void The_head_is_the_norm_the_scale_and_the_product()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var head = new LanguageModelHead(model.Bundle, 3);
        using OnnxThreadPool.Lane lane = model.Sessions.ThreadPool.CreateLane();
        float[] hidden = [.. Random(head.Width, 1, 2).Values.Select(value => 20 * value)];
        float[] normed = new float[hidden.Length];
        for (int row = 0; row < 2; row++)
            head.Normalize(hidden.AsSpan(row * head.Width, head.Width), normed.AsSpan(row * head.Width, head.Width));
        float[] logits = new float[2 * head.VocabularySize];
        head.Multiply(lane, normed, 2, logits);

        ReadOnlySpan<float> norm = model.Bundle.Tensor(model.Bundle.Manifest.TensorNames.DecoderFinalNorm).Floats;
        ReadOnlySpan<float> weights = model.Bundle.Tensor(model.Bundle.Manifest.TensorNames.Head).Floats;
        for (int row = 0; row < 2; row++)
        {
            double[] state = [.. hidden.Skip(row * head.Width).Take(head.Width).Select(value => (double)value)];
            double scale = 1 / Math.Sqrt((state.Sum(value => value * value) / head.Width) + 1e-6) / Math.Sqrt(head.Width);
            for (int token = 0; token < head.VocabularySize; token += 97)
            {
                double expected = 0;
                for (int at = 0; at < head.Width; at++)
                    expected += state[at] * scale * norm[at] * weights[(token * head.Width) + at];
                Assert.Equal(expected, logits[(row * head.VocabularySize) + token], 1e-3);
            }
        }
    }

    private static (float[] Weights, float[] Values) Random(int width, int rows, int inputs)
    {
        var random = new Random(width + rows + inputs);
        return (Fill(rows * width), Fill(inputs * width));

        float[] Fill(int count) => [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle()) - 1)];
    }

    private static float[] Run(
        float[] weights, float[] values, int width, int rows, int inputs, delegate*<void*, int, int, int, float*, int, float*, int, void> kernel)
    {
        float[] logits = new float[rows * inputs];
        fixed (float* w = weights, v = values, l = logits)
        {
            // In two parts, the second not at a multiple of the block.
            int border = rows / 3;
            kernel(w, width, 0, border, v, inputs, l, rows);
            kernel(w, width, border, rows, v, inputs, l, rows);
        }

        return logits;
    }

    private static void AssertClose(float[] expected, float[] actual, double tolerance)
    {
        for (int index = 0; index < expected.Length; index++)
            Assert.Equal(expected[index], actual[index], tolerance);
    }
}
