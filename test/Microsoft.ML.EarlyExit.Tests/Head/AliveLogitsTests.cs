using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Head;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class AliveLogitsTests
{
    [Theory]
    [InlineData(48, 300, 50)]
    [InlineData(256, 2000, 600)]
    [InlineData(1100, 700, 123)]
    public void The_best_two_are_those_of_the_rows_and_the_margin_is_no_more_than_is_said(int width, int tokens, int alive)
    {
        var random = new Random(width);
        float[][] rows = [.. Enumerable.Range(0, tokens).Select(_ => Numbers(random, width, 3))];
        rows[7] = rows[8];
        rows[20] = [.. rows[20].Select(weight => weight * 1e20f)];
        rows[21] = [.. rows[21].Select((weight, at) => at == 0 ? 200 : weight)];
        using var head = new MadeHead(rows);
        using var screened = new AliveLogits(head.Head, head.Head.Screen!, alive);
        int estimates = 0;
        for (int turn = 0; turn < 40; turn++)
        {
            float[] input = Numbers(random, width, (1 + (turn % 6)) / MathF.Sqrt(width));
            int[] ids = [.. Enumerable.Range(0, tokens).OrderBy(_ => random.Next()).Take(turn < 20 ? alive : alive / 2)];
            float[] whole = head.Whole(input);
            float[] expected = [.. ids.Select(id => whole[id])];
            float[] logits = new float[ids.Length];
            if (!screened.TryEstimate(ids, input, logits))
                continue;
            estimates++;
            Assert.Equal(LogitScan.TwoLargest(expected, []), LogitScan.TwoLargest(logits, []));
            Assert.Equal(LogitScan.ArgMax(expected), LogitScan.ArgMax(logits));
            double margin = SoftmaxMargin.Margin(Of(expected));
            LayerLogits bounded = Of(logits);
            bounded.SetSum(screened.LogSumExp, screened.SumError);
            Assert.True(SoftmaxMargin.AtMost(bounded) >= margin);
        }

        Assert.True(estimates > 0);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(1e30f)]
    [InlineData(0f)]
    public void Of_an_input_that_no_bound_holds_for_nothing_is_said(float value)
    {
        using var head = new MadeHead([.. Enumerable.Range(0, 100).Select(row => Numbers(new Random(row), 64, 1))]);
        using var screened = new AliveLogits(head.Head, head.Head.Screen!, 100);
        float[] input = new float[64];
        input[3] = value;
        Assert.False(screened.TryEstimate([.. Enumerable.Range(0, 100)], input, new float[100]));
    }

    [Fact]
    public void Nothing_is_allocated()
    {
        float[] input = Numbers(new Random(1), 256, 0.1f);
        using var head = new MadeHead([.. Enumerable.Range(0, 500).Select(row => Numbers(new Random(row), 256, 1))]);
        using var screened = new AliveLogits(head.Head, head.Head.Screen!, 300);
        int[] ids = [.. Enumerable.Range(100, 300)];
        float[] logits = new float[300];
        Assert.True(screened.TryEstimate(ids, input, logits));
        long before = GC.GetAllocatedBytesForCurrentThread();
        screened.TryEstimate(ids, input, logits);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static LayerLogits Of(float[] values)
    {
        var logits = new LayerLogits(count => new float[count]);
        logits.Set(values, isFull: false, keep: false);
        return logits;
    }

    private static float[] Numbers(Random random, int count, float size) => [.. Enumerable.Range(0, count)
        .Select(_ => (float)(size * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
}
