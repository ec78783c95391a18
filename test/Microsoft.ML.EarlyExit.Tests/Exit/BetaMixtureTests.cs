using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit.Thresholds;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class BetaMixtureTests
{
    private static readonly Gen<(float Confidence, bool Agreed)> s_pair =
        from kind in Gen.Choose(0, 5)
        from bin in Gen.Choose(0, BetaMixture.BinCount - 1)
        from agreed in Gen.Elements(true, false)
        select (kind switch { 0 => 0f, 1 => 1f, 2 => 0.5f, _ => (float)bin / (BetaMixture.BinCount - 1) }, agreed);

    private static readonly Gen<(float Confidence, bool Agreed)[]> s_pairs = s_pair.ArrayOf().Where(pairs =>
        pairs.Count(pair => pair.Agreed) >= BetaMixture.MinimumPairs && pairs.Count(pair => !pair.Agreed) >= BetaMixture.MinimumPairs);

    // α, β of both components, the threshold at ζ = 0.4 in [0.3, 0.9] on the code's own ten points and on 600001, and the posteriors at 0.2, 0.5, 0.8, of
    // util/bmm.py of github.com/raymin0223/fast_robust_early_exit at 3e503c5, run with numpy 2.4.6 on the pairs that Draw makes; scipy.stats.beta.pdf there was
    // replaced by exp((a-1) ln x + (b-1) ln(1-x) - ln B(a, b)) with Python's math.lgamma.
    [Theory]
    [InlineData(
        1, 500, 0, 1.063030566392595, 2.079133760348973, 1.8936022740306993, 1.0080395873310233,
        0.43333333333333335, 0.39594, 0.21863970862951132, 0.49771305379236924, 0.7961912768278331)]
    [InlineData(
        2, 2000, 1, 2.241044374388761, 3.2050289401100995, 2.769215571668406, 1.1030810020026147,
        0.5666666666666667, 0.531833, 0.11423281726832196, 0.35977657855808987, 0.8317252092306668)]
    [InlineData(
        3, 60, 2, 2.9053618853378227, 2.0643878642822564, 4.673042192140541, 0.8975949485527792,
        0.7666666666666668, 0.7016370000000001, 0.022425351623368783, 0.16703662403991354, 0.5727698491162337)]
    [InlineData(
        4, 5000, 2, 3.1229495809817176, 1.924859839420581, 4.810423224925595, 0.9771888970401492,
        0.7666666666666668, 0.70126, 0.030590641858216885, 0.18780022187328688, 0.5491144234038913)]
    public void The_fit_by_labels_is_that_of_the_published_code(
        int seed, int count, int kind, double alpha0, double beta0, double alpha1, double beta1, double coarse, double fine, double at2, double at5, double at8)
    {
        BetaMixture mixture = Fit(Draw(seed, count, kind), 1)!;
        Assert.Equal([alpha0, beta0, alpha1, beta1], Parameters(mixture), Near(1e-9));
        Assert.Equal([at2, at5, at8], PosteriorsOfTheDefinition(Parameters(mixture), [0.2, 0.5, 0.8]), Near(1e-9));
        double threshold = mixture.Threshold(0.4, 0.3, 0.9);
        Assert.Equal(fine, threshold, 1.5e-6);
        Assert.InRange(coarse - threshold, 0, 1.0 / 15);
    }

    [Fact]
    public void A_known_mixture_is_recovered_from_its_labelled_samples()
    {
        var random = new Random(7);
        var pairs = new (float, bool)[40_000];
        for (int i = 0; i < pairs.Length; i++)
        {
            bool agreed = random.NextDouble() < 0.7;
            pairs[i] = (agreed ? BetaSample(random, 5, 2) : BetaSample(random, 2, 4), agreed);
        }
        foreach (int iterations in (int[])[1, 200])
        {
            BetaMixture mixture = Fit(pairs, iterations)!;
            Assert.Equal([2, 4, 5, 2], Parameters(mixture), Near(0.25));
            Assert.Equal(0.7, mixture.AgreeingWeight, 0.02);
        }
    }

    [Fact]
    public void Iterations_find_the_mixture_behind_wrong_labels()
    {
        var random = new Random(11);
        var pairs = new (float, bool)[40_000];
        for (int i = 0; i < pairs.Length; i++)
        {
            bool agreed = random.NextDouble() < 0.6;
            pairs[i] = (agreed ? BetaSample(random, 9, 2) : BetaSample(random, 2, 7), agreed ^ (random.NextDouble() < 0.15));
        }
        BetaMixture labels = Fit(pairs, 1)!;
        BetaMixture iterated = Fit(pairs, 200)!;
        Assert.True(labels.Agreeing.Mean < 0.76);
        Assert.Equal(9.0 / 11, iterated.Agreeing.Mean, 0.01);
        Assert.Equal(2.0 / 9, iterated.Disagreeing.Mean, 0.01);
        Assert.Equal(0.6, iterated.AgreeingWeight, 0.01);
    }

    [Property(MaxTest = 60)]
    public Property The_log_likelihood_never_falls_with_more_iterations() =>
        Prop.ForAll(s_pairs.ToArbitrary(), pairs =>
        {
            double before = double.NegativeInfinity;
            for (int iterations = 1; iterations <= 12; iterations++)
            {
                double now = LogLikelihood(Fit(pairs, iterations)!, pairs);
                Assert.True(now >= before - (1e-10 * Math.Max(1, Math.Abs(before))), $"{before} then {now}");
                before = now;
            }
        });

    [Property(MaxTest = 60)]
    public Property The_order_of_the_pairs_has_no_influence() =>
        Prop.ForAll(s_pairs.ToArbitrary(), Gen.Choose(0, int.MaxValue - 1).ToArbitrary(), (pairs, seed) =>
        {
            var shuffled = ((float, bool)[])pairs.Clone();
            new Random(seed).Shuffle(shuffled);
            Assert.Equal(Parameters(Fit(pairs, 20)!), Parameters(Fit(shuffled, 20)!));
        });

    [Property(MaxTest = 100)]
    public Property The_fit_and_its_threshold_are_those_of_the_definition() =>
        Prop.ForAll(s_pairs.ToArbitrary(), Gen.Choose(1, 99).ToArbitrary(), (pairs, percent) =>
        {
            BetaMixture mixture = Fit(pairs, 1)!;
            double[] expected = Definition(pairs);
            Assert.Equal(expected, Parameters(mixture), (x, y) => Math.Abs(x - y) <= 1e-6 * Math.Max(1, Math.Abs(x)));

            double level = percent / 100.0;
            double threshold = mixture.Threshold(level, 0.3, 0.9);
            const int points = 2000;
            double[] posteriors = PosteriorsOfTheDefinition(expected, [.. Enumerable.Range(0, points + 1).Select(i => 0.3 + (0.6 * i / points))]);
            int above = points;
            while (above >= 0 && posteriors[above] > level)
                above--;
            double onGrid = above == points ? 0.9 : 0.3 + (0.6 * (above + 1) / points);
            Assert.InRange(threshold, 0.3, 0.9);

            // At a grid point that the posterior only touches, rounding decides: such levels say nothing.
            bool touches = posteriors.Any(posterior => Math.Abs(posterior - level) < 1e-7);
            Assert.True(touches || Math.Abs(threshold - onGrid) <= 0.6 / points + 1e-9, $"{threshold} but {onGrid}");
        });

    [Property(MaxTest = 60)]
    public Property The_threshold_is_within_its_range_and_never_falls_as_the_level_rises() =>
        Prop.ForAll(s_pairs.ToArbitrary(), Gen.Elements((0.0, 1.0), (0.3, 0.9), (0.5, 0.5)).ToArbitrary(), (pairs, range) =>
        {
            BetaMixture mixture = Fit(pairs, 1)!;
            double before = range.Item1;
            for (int i = 0; i <= 200; i++)
            {
                double threshold = mixture.Threshold(i / 200.0, range.Item1, range.Item2);
                Assert.InRange(threshold, before, range.Item2);
                before = threshold;
            }
            Assert.Equal(range.Item2, mixture.Threshold(1, range.Item1, range.Item2));
        });

    [Theory]
    [InlineData(0f, 0f)]
    [InlineData(1f, 1f)]
    [InlineData(0f, 1f)]
    [InlineData(1f, 0f)]
    [InlineData(0.5f, 0.5f)]
    [InlineData(0.2f, 0.7f)]
    public void Equal_confidences_have_a_finite_fit(float disagreeing, float agreeing)
    {
        (float, bool)[] pairs = [.. Enumerable.Repeat((disagreeing, false), 8), .. Enumerable.Repeat((agreeing, true), 8)];
        foreach (int iterations in (int[])[1, 100])
        {
            BetaMixture mixture = Fit(pairs, iterations)!;
            Assert.All(Parameters(mixture), value => Assert.True(double.IsFinite(value) && value > 0));
            Assert.InRange(mixture.Threshold(0.4, 0, 1), 0, 1);
        }
    }

    [Fact]
    public void Too_few_pairs_of_a_label_have_no_fit()
    {
        (float, bool)[] enough = [.. Enumerable.Repeat((0.25f, false), 8), .. Enumerable.Repeat((0.75f, true), 8)];
        Assert.NotNull(Fit(enough, 1));
        Assert.Null(Fit(enough[1..], 1));
        Assert.Null(Fit(enough[..^1], 1));
        Assert.Null(Fit([], 1));
    }

    [Fact]
    public void A_histogram_of_a_long_run_is_fitted()
    {
        var disagreeing = new long[BetaMixture.BinCount];
        var agreeing = new long[BetaMixture.BinCount];
        for (int bin = 0; bin < BetaMixture.BinCount; bin++)
        {
            disagreeing[bin] = (BetaMixture.BinCount - bin) * 1_000_000_000L;
            agreeing[bin] = bin * 1_000_000_000L;
        }
        BetaMixture mixture = BetaMixture.Fit(disagreeing, agreeing, 100)!;
        Assert.Equal([1, 2, 2, 1], Parameters(mixture), Near(0.01));
        Assert.Equal(0.4, mixture.Threshold(0.4, 0, 1), 0.01);
    }

    internal static (float Confidence, bool Agreed)[] Draw(int seed, int count, int kind)
    {
        long state = seed;
        var pairs = new (float, bool)[count];
        for (int i = 0; i < count; i++)
        {
            int confidence = Enumerable.Range(0, kind + 1).Max(_ => Next());
            bool agreed = kind switch { 0 => Next() < confidence, 1 => Math.Min(Next(), Next()) < confidence, _ => Next() < confidence * confidence / 4096 };
            pairs[i] = (confidence / 4096f, agreed);
        }
        return pairs;

        int Next()
        {
            state = ((state * 1103515245) + 12345) % (1L << 31);
            return (int)((state >> 7) % 4097);
        }
    }

    private static BetaMixture? Fit((float Confidence, bool Agreed)[] pairs, int maxIterations)
    {
        var disagreeing = new long[BetaMixture.BinCount];
        var agreeing = new long[BetaMixture.BinCount];
        foreach ((float confidence, bool agreed) in pairs)
            (agreed ? agreeing : disagreeing)[BetaMixture.BinOf(confidence)]++;
        return BetaMixture.Fit(disagreeing, agreeing, maxIterations);
    }

    private static double[] Parameters(BetaMixture mixture) =>
        [mixture.Disagreeing.Alpha, mixture.Disagreeing.Beta, mixture.Agreeing.Alpha, mixture.Agreeing.Beta];

    private static Func<double, double, bool> Near(double tolerance) => (x, y) => Math.Abs(x - y) <= tolerance;

    // Of integer parameters: the a-th smallest of a + b - 1 uniform numbers.
    private static float BetaSample(Random random, int a, int b) =>
        (float)Enumerable.Range(0, a + b - 1).Select(_ => random.NextDouble()).Order().ElementAt(a - 1);

    /// <summary>α, β, α, β by the moments of the pairs, each belonging to its label's component with 2000/2001 and to the other with 1/2001.</summary>
    private static double[] Definition((float Confidence, bool Agreed)[] pairs)
    {
        var parameters = new List<double>();
        foreach (bool label in (bool[])[false, true])
        {
            (double X, double Weight)[] weighted = [.. pairs.Select(pair => (Clip(pair.Confidence), pair.Agreed == label ? 2000 / 2001.0 : 1 / 2001.0))];
            double total = weighted.Sum(item => item.Weight);
            double mean = weighted.Sum(item => item.Weight * item.X) / total;
            double variance = Math.Max(weighted.Sum(item => item.Weight * Math.Pow(item.X - mean, 2)) / total, 1 / (12 * Math.Pow(4096, 2)));
            double alpha = mean * ((mean * (1 - mean) / variance) - 1);
            parameters.AddRange([alpha, alpha * (1 - mean) / mean]);
        }
        return [.. parameters];
    }

    private static double[] PosteriorsOfTheDefinition(double[] parameters, double[] confidences)
    {
        Func<double, double> disagreeing = LogDensity(parameters[0], parameters[1]);
        Func<double, double> agreeing = LogDensity(parameters[2], parameters[3]);
        return [.. confidences.Select(x =>
        {
            double larger = Math.Max(disagreeing(x), agreeing(x));
            return Math.Exp(agreeing(x) - larger) / (Math.Exp(agreeing(x) - larger) + Math.Exp(disagreeing(x) - larger));
        })];
    }

    private static double LogLikelihood(BetaMixture mixture, (float Confidence, bool Agreed)[] pairs)
    {
        Func<double, double> disagreeing = LogDensity(mixture.Disagreeing.Alpha, mixture.Disagreeing.Beta);
        Func<double, double> agreeing = LogDensity(mixture.Agreeing.Alpha, mixture.Agreeing.Beta);
        return pairs.Sum(pair =>
        {
            double first = Math.Log(1 - mixture.AgreeingWeight) + disagreeing(Clip(pair.Confidence));
            double second = Math.Log(mixture.AgreeingWeight) + agreeing(Clip(pair.Confidence));
            return Math.Max(first, second) + Math.Log(1 + Math.Exp(-Math.Abs(first - second)));
        });
    }

    private static double Clip(double x) => Math.Clamp(x, 1e-4, 1 - 1e-4);

    private static Func<double, double> LogDensity(double alpha, double beta)
    {
        double normalizer = ProductLogGamma(alpha + beta) - ProductLogGamma(alpha) - ProductLogGamma(beta);
        return x => ((alpha - 1) * Math.Log(x)) + ((beta - 1) * Math.Log(1 - x)) + normalizer;
    }

    /// <summary>Another way than the library's: Γ(x + N) = Γ(x) x (x + 1) … and Stirling's formula with one term, N = 3000.</summary>
    private static double ProductLogGamma(double x)
    {
        double sum = 0;
        double at = x;
        for (; at < 3000; at++)
            sum += Math.Log(at);
        return ((at - 0.5) * Math.Log(at)) - at + (0.5 * Math.Log(2 * Math.PI)) + (1 / (12 * at)) - sum;
    }
}
