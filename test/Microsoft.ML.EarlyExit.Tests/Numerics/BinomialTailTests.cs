using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class BinomialTailTests
{
    // Summed term by term with 60 digits.
    [Theory]
    [InlineData(49_000, 1_000_000, 0.05, -13.06731549329308)]
    [InlineData(46_500, 1_000_000, 0.05, -135.56291258022776)]
    [InlineData(50_000, 1_000_000, 0.05, -0.690770398888362)]
    [InlineData(50_300, 1_000_000, 0.05, -0.0878210748318134)]
    [InlineData(99, 1_000_000, 0.0002, -33.93204599172375)]
    [InlineData(9_000, 1_000_000, 0.01, -55.44231597681887)]
    [InlineData(500, 100_000, 0.01, -158.02464663986257)]
    [InlineData(15, 20, 0.5, -0.0059264930829060125)]
    public void Tails_of_many_trials_keep_their_digits(long k, long n, double p, double expected) =>
        Assert.Equal(expected, BinomialTail.LogAtMost(k, n, p), 1e-11);

    [Property]
    public Property A_tail_and_the_other_tail_are_one() =>
        Prop.ForAll(Gen.Choose(1, 100_000).ToArbitrary(), Samples.Unit.ToArbitrary(), Samples.Unit.ToArbitrary(), (n, share, p) =>
        {
            // Both by their own sums: what is at most k, and what fails at least n - k times.
            int k = (int)(share * n);
            double sum = Math.Exp(BinomialTail.LogAtMost(k, n, p)) + Math.Exp(BinomialTail.LogAtMost(n - k - 1, n, 1 - p));
            Assert.Equal(1, sum, 1e-9);
        });

    [Property(MaxTest = 30)]
    public Property Probabilities_add_up_to_the_tail() =>
        Prop.ForAll(Gen.Choose(1, 300).ToArbitrary(), Samples.Unit.ToArbitrary(), (n, p) =>
        {
            double sum = 0;
            for (int k = 0; k <= n; k++)
            {
                sum += Math.Exp(BinomialTail.LogProbability(k, n, p));
                Assert.Equal(sum, Math.Exp(BinomialTail.LogAtMost(k, n, p)), 1e-11 * Math.Max(sum, 1e-300));
            }
        });

    [Fact]
    public void Nothing_is_below_0_and_all_is_at_most_n()
    {
        Assert.Equal(double.NegativeInfinity, BinomialTail.LogAtMost(-1, 5, 0.3));
        Assert.Equal(0, BinomialTail.LogAtMost(5, 5, 0.3));
        Assert.Equal(0, BinomialTail.LogAtMost(9, 5, 0.3));
    }
}
