using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Conversion.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Whole numbers and a scale for a block of weights.</summary>
public sealed class BlockQuantizerTests
{
    private static readonly (WeightPrecision Type, int Least, int Most)[] s_ranges =
        [(WeightPrecision.Int8, -127, 127), (WeightPrecision.Int4, -8, 7)];

    /// <summary>Blocks of any width, magnitude and shape: even, near zero but for a few, with zeros.</summary>
    private static readonly Gen<float[]> s_blocks =
        from length in Gen.Choose(1, 300)
        from seed in Gen.Choose(0, int.MaxValue)
        from exponent in Gen.Choose(0, 80)
        from power in Gen.Choose(1, 6)
        select Weights(length, seed, exponent, power);

    public static TheoryData<WeightPrecision> Types => [WeightPrecision.Int8, WeightPrecision.Int4];

    [Property]
    public Property A_weight_is_off_by_half_a_scale_at_most_unless_it_is_cut_off() => Prop.ForAll(s_blocks.ToArbitrary(), weights =>
    {
        foreach ((WeightPrecision type, int least, int most) in s_ranges)
        {
            float[] numbers = new float[weights.Length];
            (float scale, double error) = new BlockQuantizer(type, weights.Length).Quantize(weights, numbers);
            Assert.True(scale > 0 && float.IsFinite(scale));
            double sum = 0;
            for (int index = 0; index < weights.Length; index++)
            {
                double difference = weights[index] - ((double)numbers[index] * scale);
                sum += difference * difference;
                Assert.Equal(MathF.Round(numbers[index]), numbers[index]);
                Assert.InRange(numbers[index], least, most);
                if (numbers[index] == most && difference > 0)
                    continue;
                if (numbers[index] == least && difference < 0)
                    continue;
                Assert.InRange(Math.Abs(difference), 0, scale * 0.5 * (1 + 1e-5));
            }

            Assert.Equal(sum, error, 1e-9 * sum);

            // Of a scale that fits all exactly rounding leaves something.
            double rounding = 1e-12 * weights.Sum(weight => (double)weight * weight);
            Assert.InRange(error, 0, (Error(weights, weights.Max(Math.Abs) / (double)most, least, most) * (1 + 1e-4)) + rounding);
        }
    });

    [Property]
    public Property A_power_of_two_times_the_weights_has_the_same_numbers() => Prop.ForAll(s_blocks.ToArbitrary(), weights =>
    {
        float[] numbers = new float[weights.Length];
        float[] others = new float[weights.Length];
        var quantizer = new BlockQuantizer(WeightPrecision.Int4, weights.Length);
        (float scale, _) = quantizer.Quantize(weights, numbers);
        (float other, _) = quantizer.Quantize([.. weights.Select(weight => weight * 0.125f)], others);
        Assert.Equal(numbers, others);
        Assert.Equal(weights.All(weight => weight == 0) ? 1 : scale * 0.125f, other);
    });

    [Theory]
    [InlineData(WeightPrecision.Int8, -127, 127, 1.3)]
    [InlineData(WeightPrecision.Int4, -8, 7, 1.05)]
    public void The_error_is_near_that_of_the_best_of_all_scales(WeightPrecision type, int least, int most, double share)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            float[] weights = Weights(64, seed, 0, 1 + (seed % 5));
            double best = Enumerable.Range(1, 4000).Min(step => Error(weights, weights.Max(Math.Abs) * step / (3000.0 * most), least, most));
            (_, double error) = new BlockQuantizer(type, 64).Quantize(weights, new float[64]);
            Assert.InRange(error, 0, best * share);
        }
    }

    [Theory]
    [InlineData(-7, 7)]
    [InlineData(-8, 7)]
    [InlineData(-8, 3)]
    public void Four_bits_give_back_what_four_bits_can_say(int first, int last)
    {
        float[] weights = [.. Enumerable.Range(first, last - first + 1).Select(number => number * 0.3f)];
        float[] numbers = new float[weights.Length];
        (float scale, double error) = new BlockQuantizer(WeightPrecision.Int4, weights.Length).Quantize(weights, numbers);
        Assert.Equal(Enumerable.Range(first, last - first + 1).Select(number => (float)number), numbers);
        Assert.Equal(0.3, scale, 1e-6);
        Assert.InRange(error, 0, 1e-12);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void A_block_of_nothing_is_zeros_of_scale_one(WeightPrecision type)
    {
        foreach (float nothing in (float[])[0, -0f, float.Epsilon, -1e-31f])
        {
            float[] numbers = [1, 1, 1];
            Assert.Equal((1, 0), new BlockQuantizer(type, 3).Quantize([nothing, 0, nothing], numbers));
            Assert.Equal([0, 0, 0], numbers);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void The_largest_and_the_smallest_weights_have_finite_scales(WeightPrecision type)
    {
        foreach (float magnitude in (float[])[BlockQuantizer.Largest, 2e-30f])
        {
            float[] numbers = new float[3];
            (float scale, double error) = new BlockQuantizer(type, 3).Quantize([magnitude, -magnitude, magnitude / 2], numbers);
            Assert.True(float.IsNormal(scale) && double.IsFinite(error));
            Assert.Equal(magnitude, numbers[0] * scale, 0.1 * magnitude);
            Assert.True(float.IsFinite(numbers[1] * scale));
        }
    }

    private static double Error(float[] weights, double scale, int least, int most) =>
        weights.Sum(weight => Math.Pow(weight - (scale == 0 ? 0 : Math.Clamp(Math.Round(weight / scale), least, most) * scale), 2));

    private static float[] Weights(int length, int seed, int exponent, int power)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(8) == 0 ? 0 : Next())];

        float Next() => MathF.ScaleB((float)Math.Pow((2 * random.NextDouble()) - 1, power), exponent);
    }
}
