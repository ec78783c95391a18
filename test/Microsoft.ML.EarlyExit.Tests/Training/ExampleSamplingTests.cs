using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Training;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ExampleSamplingTests
{
    [Property]
    public void The_share_of_rows_held_out_is_the_one_asked_for_whatever_the_seed(int seed, byte share)
    {
        double fraction = share / 256.0;
        var sampling = new ExampleSampling(seed, fraction, null);
        for (int rows = 0; rows <= 300; rows += 50)
            Assert.InRange(Enumerable.Range(0, rows).Count(row => sampling.IsHeldOut(row)), Math.Floor(rows * fraction), Math.Ceiling(rows * fraction) + 1);
    }

    [Fact]
    public void Another_seed_holds_out_other_rows()
    {
        int[] Rows(int seed) => [.. Enumerable.Range(0, 200).Where(row => new ExampleSampling(seed, 0.1, null).IsHeldOut(row))];

        Assert.Equal(20, Rows(1).Length);
        Assert.Equal(Rows(1), Rows(1));
        Assert.NotEqual(Rows(1), Rows(2));

        // Not in step with data whose rows take turns.
        Assert.InRange(Rows(1).Count(row => row % 2 == 0), 4, 16);
    }

    [Property]
    public void Kept_positions_are_in_order_distinct_and_as_many_as_may_be(int seed, byte row, byte count, byte most)
    {
        var sampling = new ExampleSampling(seed, 0.1, most + 1);
        int[] positions = sampling.ChoosePositions(row, count);

        Assert.Equal(Math.Min(count, most + 1), positions.Length);
        Assert.Equal(positions.Distinct().Order(), positions);
        Assert.All(positions, position => Assert.InRange(position, 0, count - 1));
        Assert.Equal(positions, sampling.ChoosePositions(row, count));
    }

    [Fact]
    public void Kept_positions_come_from_the_whole_target()
    {
        int[] counts = new int[40];
        for (int row = 0; row < 1000; row++)
        {
            foreach (int position in new ExampleSampling(7, 0.1, 4).ChoosePositions(row, counts.Length))
                counts[position]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 50, 150));
    }
}
