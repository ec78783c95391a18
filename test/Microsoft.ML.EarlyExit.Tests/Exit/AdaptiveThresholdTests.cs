using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit.Thresholds;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class AdaptiveThresholdTests
{
    [Theory]
    [InlineData(1, 500, 0, 0.39594)]
    [InlineData(4, 5000, 2, 0.70126)]
    public void It_follows_the_pairs_whatever_the_initial_threshold(int seed, int count, int kind, double expected)
    {
        // The published code's thresholds: BetaMixtureTests says where they come from.
        foreach (float initial in (float[])[0, 0.5f, 1])
        {
            AdaptiveThreshold threshold = Filled(initial, BetaMixtureTests.Draw(seed, count, kind));
            Assert.Equal(initial, threshold.Current);
            threshold.Update();
            Assert.Equal(expected, threshold.Current, 2e-6);
        }
    }

    [Theory]
    [InlineData(0.6f)]
    [InlineData(0.95f)]
    public void Without_disagreeing_pairs_it_stays(float initial)
    {
        AdaptiveThreshold threshold = Filled(initial, Enumerable.Range(0, 1000).Select(i => (i / 1000f, true)));
        threshold.Update();
        Assert.Equal(initial, threshold.Current);
    }

    [Theory]
    [InlineData(0.6f, 7, 0.6f)]
    [InlineData(0.6f, 8, 0.9f)]
    [InlineData(0.95f, 8, 0.95f)]
    public void Without_agreeing_pairs_it_rises(float initial, int count, float expected)
    {
        AdaptiveThreshold threshold = Filled(initial, Enumerable.Range(0, count).Select(i => (i / 10f, false)));
        threshold.Update();
        Assert.Equal(expected, threshold.Current);
    }

    [Fact]
    public void Confidences_that_do_not_tell_agreeing_tokens_apart_raise_it()
    {
        AdaptiveThreshold equal = Filled(0.5f, Enumerable.Range(0, 40).Select(i => (0.7f, i % 2 == 0)));
        equal.Update();
        Assert.Equal(0.9f, equal.Current);

        AdaptiveThreshold inverted = Filled(0.5f, BetaMixtureTests.Draw(1, 500, 0).Select(pair => (pair.Confidence, !pair.Agreed)));
        inverted.Update();
        Assert.Equal(0.9f, inverted.Current);
    }

    [Fact]
    public void A_confidence_outside_its_range_is_refused()
    {
        var threshold = new AdaptiveThreshold(0.5f);
        foreach (float confidence in (float[])[float.NaN, -0.001f, 1.001f, float.PositiveInfinity])
            Assert.Throws<ArgumentOutOfRangeException>("confidence", () => threshold.Add(confidence, true));
    }

    [Property(MaxTest = 60)]
    public Property It_stays_in_range_and_neither_order_nor_earlier_updates_change_where_it_ends() =>
        Prop.ForAll(Gen.Choose(0, 4096).Zip(Gen.Choose(0, 3)).ArrayOf().ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(), (draws, seed) =>
        {
            (float, bool)[] pairs = [.. draws.Select(draw => (draw.Item1 / 4096f, draw.Item2 > 0))];
            float initial = seed / 100f;
            AdaptiveThreshold atOnce = Filled(initial, pairs);
            atOnce.Update();
            atOnce.Update();

            new Random(seed).Shuffle(pairs);
            AdaptiveThreshold shuffled = Filled(initial, pairs);
            shuffled.Update();
            Assert.Equal(atOnce.Current, shuffled.Current);
            Assert.True(atOnce.Current == initial || atOnce.Current is >= 0.3f and <= 0.9f);

            var stepwise = new AdaptiveThreshold(initial);
            foreach ((float confidence, bool agreed) in pairs)
            {
                stepwise.Add(confidence, agreed);
                stepwise.Update();
                Assert.True(stepwise.Current == initial || stepwise.Current is >= 0.3f and <= 0.9f);
            }

            // Once both labels suffice and confidence tells, the threshold is a function of the pairs alone.
            if (Tells(pairs))
                Assert.Equal(atOnce.Current, stepwise.Current);
        });

    private static bool Tells((float Confidence, bool Agreed)[] pairs) =>
        pairs.Count(pair => pair.Agreed) >= 8 && pairs.Count(pair => !pair.Agreed) >= 8
        && pairs.Where(pair => pair.Agreed).Average(pair => pair.Confidence) > pairs.Where(pair => !pair.Agreed).Average(pair => pair.Confidence) + 0.001;

    private static AdaptiveThreshold Filled(float initial, IEnumerable<(float Confidence, bool Agreed)> pairs)
    {
        var threshold = new AdaptiveThreshold(initial);
        foreach ((float confidence, bool agreed) in pairs)
            threshold.Add(confidence, agreed);
        return threshold;
    }
}
