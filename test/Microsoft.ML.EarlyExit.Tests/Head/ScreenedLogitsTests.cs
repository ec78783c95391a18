using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Head;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ScreenedLogitsTests
{
    // Width, tokens, seed.
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 300, 1 }, { 7, 500, 2 }, { 48, 333, 3 }, { 100, 2001, 4 }, { 256, 3000, 5 }, { 257, 1200, 6 }, { 1100, 700, 7 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void No_estimate_is_farther_off_than_its_rows_error_allows(int width, int tokens, int seed)
    {
        float[][] rows = Rows(width, tokens, seed, isHostile: true);
        using var head = new MadeHead(rows);
        var random = new Random(seed);
        for (int turn = 0; turn < 5; turn++)
        {
            float[] input = Input(width, random, 1);
            float[] coarse = head.Estimates(input, 1, isFine: false);
            float[] fine = head.Estimates(input, 1, isFine: true);
            double norm = Math.Sqrt(input.Sum(value => (double)value * value));
            for (int id = 0; id < tokens; id++)
            {
                double bound = head.Head.Screen!.Errors[id] * norm;
                if (double.IsInfinity(bound))
                    continue;
                double exact = rows[id].Select((weight, at) => (double)weight * input[at]).Sum();
                Assert.True(Math.Abs(coarse[id] - exact) <= bound, $"token {id}");
                Assert.True(Math.Abs(fine[id] - exact) <= bound, $"token {id}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_best_two_and_what_is_touched_are_those_of_the_whole_product_to_the_bit(int width, int tokens, int seed)
    {
        foreach (bool isHostile in new[] { false, true })
        {
            foreach (bool isUpperHalf in new[] { false, true })
            {
                using var head = new MadeHead(Rows(width, tokens, seed, isHostile), isUpperHalf);
                var random = new Random(seed);
                for (int turn = 0; turn < 10; turn++)
                {
                    float[] input = Input(width, random, 1 + (turn % 4));
                    float[] whole = head.Whole(input);
                    int[] touched = [random.Next(tokens), Array.IndexOf(whole, whole.Max())];
                    head.Settle(input, isFine: turn % 2 == 0, turn < 5 ? [] : touched);
                    Assert.Equal(LogitScan.ArgMax(whole), LogitScan.ArgMax(head.Logits));
                    Assert.Equal(LogitScan.TwoLargest(whole, []), LogitScan.TwoLargest(head.Logits, []));
                    if (turn < 5)
                        continue;

                    // And the best of the others.
                    Array.Sort(touched);
                    Assert.All(touched, id => Assert.Equal(whole[id], head.Logits[id]));
                    int[] distinct = [.. touched.Distinct()];
                    Assert.Equal(LogitScan.TwoLargest(whole, distinct), LogitScan.TwoLargest(head.Logits, distinct));
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_margin_is_bounded_and_then_told_to_a_hundred_thousandth(int width, int tokens, int seed)
    {
        foreach (bool isHostile in new[] { false, true })
        {
            using var head = new MadeHead(Rows(width, tokens, seed, isHostile));
            var random = new Random(seed);
            for (int turn = 0; turn < 20; turn++)
            {
                float[] input = Input(width, random, 1 + (turn % 6));
                var whole = new LayerLogits(count => new float[count]);
                whole.Set(head.Whole(input), isFull: true, keep: false);
                double margin = SoftmaxMargin.Margin(whole);
                head.Settle(input, isFine: true);
                head.Screened.Sum();
                Assert.True(SoftmaxMargin.AtMost(head.Sum()) >= margin);
                head.Screened.Narrow(SoftmaxMargin.Margin(head.Sum()));
                Assert.Equal(0, head.Sum().SumError);
                Assert.Equal(margin, SoftmaxMargin.Of(head.Sum()), 1.1e-5);
            }
        }
    }

    [Fact]
    public void Copies_of_one_row_do_not_add_up_their_errors()
    {
        // Rounded alike, two thousand copies would be wrong together.
        float[][] rows = Rows(256, 2100, 8, isHostile: false);
        Array.Fill(rows, rows[0], 100, 2000);
        using var head = new MadeHead(rows);
        var random = new Random(8);
        for (int turn = 0; turn < 20; turn++)
        {
            AssertTold(head, Input(256, random, 1));
        }
    }

    [Fact]
    public void Nor_do_copies_at_the_border_of_what_is_multiplied_again()
    {
        // Of a row's copies those that are estimated too high are multiplied again, and the others stay too low.
        var random = new Random(13);
        for (int turn = 0; turn < 30; turn++)
        {
            float[][] rows = Rows(64, 12_000, 14 + turn, isHostile: false);
            float[] input = Input(64, random, 1.2f);
            float[] copied = rows[turn];
            Array.Fill(rows, copied, 100, 200 + (turn * 30));
            using var head = new MadeHead(rows);
            AssertTold(head, input);
        }
    }

    [Fact]
    public void The_best_k_of_a_head_of_few_large_rows_are_those_of_the_whole_product()
    {
        // Its typical error says nothing of those that matter.
        for (int seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            float[][] rows = [.. Enumerable.Range(0, 4000).Select(_ => new[] { 1e-4f * random.NextSingle(), 1e-4f * random.NextSingle() })];
            for (int large = 0; large < 4; large++)
                rows[random.Next(4000)] = [10 + (large / 2 * 20) + (0.01f * random.NextSingle()), 10 + random.NextSingle()];
            using var head = new MadeHead(rows);
            float[] input = [1, 0.05f + (0.01f * random.NextSingle())];
            float[] whole = head.Whole(input);
            head.Settle(input, isFine: true);
            head.Screened.Rank(3);
            int[] expected = new int[3], actual = new int[3];
            TopK.Select(whole, expected);
            TopK.Select(head.Logits, actual);
            Assert.Equal(expected, actual);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_best_k_are_those_of_the_whole_product(int width, int tokens, int seed)
    {
        foreach (bool isHostile in new[] { false, true })
        {
            using var head = new MadeHead(Rows(width, tokens, seed, isHostile));
            var random = new Random(seed);
            foreach (int k in new[] { 2, 5, tokens / 30, tokens / 3, tokens })
            {
                float[] input = Input(width, random, 1);
                int[] expected = new int[k], actual = new int[k];
                float[] whole = head.Whole(input);
                head.Settle(input, isFine: false);
                head.Screened.Rank(k);
                if (!whole.All(float.IsFinite))
                {
                    Assert.Equal(whole, head.Logits.ToArray());
                    continue;
                }

                TopK.Select(whole, expected);
                TopK.Select(head.Logits, actual);
                Assert.Equal(expected, actual);
                Assert.All(expected, id => Assert.Equal(whole[id], head.Logits[id]));
            }
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(1e30f)]
    [InlineData(0f)]
    public void An_input_that_no_bound_holds_for_is_multiplied_with_the_whole_head(float value)
    {
        using var head = new MadeHead(Rows(64, 400, 9, isHostile: false));
        float[] input = new float[64];
        input[3] = value;
        head.Settle(input, isFine: false);
        Assert.True(head.Screened.IsExact);
        Assert.Equal(head.Whole(input), head.Logits.ToArray());
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(float.PositiveInfinity)]
    public void A_row_that_is_no_number_gives_what_it_gives_the_whole_product(float value)
    {
        float[][] rows = Rows(64, 400, 10, isHostile: false);
        rows[77][5] = value;
        using var head = new MadeHead(rows);
        float[] input = Input(64, new Random(10), 1);
        head.Settle(input, isFine: false);
        Assert.Equal(head.Whole(input), head.Logits.ToArray());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(9)]
    public void Estimates_are_the_same_to_the_bit_beside_any_neighbours(int count)
    {
        using var head = new MadeHead(Rows(130, 500, 11, isHostile: false));
        var random = new Random(11);
        float[][] inputs = [.. Enumerable.Range(0, count).Select(_ => Input(130, random, 1))];
        foreach (bool isFine in new[] { false, true })
        {
            float[] together = head.Estimates([.. inputs.SelectMany(input => input)], count, isFine);
            for (int index = 0; index < count; index++)
                Assert.Equal(head.Estimates(inputs[index], 1, isFine), together[(index * 500)..((index + 1) * 500)]);
        }
    }

    [Fact]
    public void Few_rows_of_the_demo_models_head_are_multiplied_again_and_nothing_is_allocated()
    {
        LanguageModelHead demo = TestModels.Model(TestModels.Demo).Head;
        float[][] rows = [.. Enumerable.Range(0, demo.VocabularySize).Select(demo.Row)];
        using var head = new MadeHead(rows);
        var random = new Random(12);
        float[][] inputs = [.. Enumerable.Range(0, 4).Select(_ => Input(demo.Width, random, 1.5f))];
        long allocated = 0;
        foreach (float[] input in inputs.Concat(inputs))
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            head.Settle(input, isFine: true);
            int settled = head.Screened.ExactCount;
            head.Screened.Sum();
            head.Screened.Narrow(0.5);
            head.Screened.Rank(600);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.InRange(settled, 2, 100);
        }

        Assert.Equal(0, allocated);
    }

    private static void AssertTold(MadeHead head, float[] input)
    {
        var whole = new LayerLogits(count => new float[count]);
        whole.Set(head.Whole(input), isFull: true, keep: false);
        head.Settle(input, isFine: true);
        head.Screened.Sum();
        head.Screened.Narrow(SoftmaxMargin.Margin(head.Sum()));
        Assert.Equal(SoftmaxMargin.Of(whole), SoftmaxMargin.Of(head.Sum()), 1.1e-5);
    }

    private static float[] Input(int width, Random random, float length)
    {
        float[] input = [.. Enumerable.Range(0, width).Select(_ => (float)Normal(random))];
        return [.. input.Select(value => value * length / MathF.Sqrt(width))];
    }

    private static float[][] Rows(int width, int tokens, int seed, bool isHostile)
    {
        var random = new Random(seed);
        float[][] rows = [.. Enumerable.Range(0, tokens).Select(_ => Enumerable.Range(0, width).Select(_ => (float)(3 * Normal(random))).ToArray())];
        if (!isHostile)
            return rows;
        for (int turn = 0; turn < 8; turn++)
        {
            // Copies, opposites, nothing, much, little, an outlier.
            rows[random.Next(tokens)] = rows[random.Next(tokens)];
            rows[random.Next(tokens)] = [.. rows[random.Next(tokens)].Select(weight => -weight)];
            rows[random.Next(tokens)] = new float[width];
            rows[random.Next(tokens)] = [.. rows[random.Next(tokens)].Select(weight => weight * 1e-35f)];
            rows[random.Next(tokens)] = [.. rows[random.Next(tokens)].Select(weight => weight * 1e-6f)];
        }

        rows[random.Next(tokens)] = [.. rows[random.Next(tokens)].Select(weight => weight * 1e20f)];
        rows[random.Next(tokens)] = [.. rows[random.Next(tokens)].Select((weight, at) => at == 0 ? 500 : weight)];
        return rows;
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
