namespace Microsoft.ML.EarlyExit.Exit.Thresholds;

/// <summary>Two Beta distributions fitted to the shallow model's confidences: where its token was the full model's, and where it was not.</summary>
/// <remarks>
/// <para>
/// This is FREE's Beta mixture model (Bae et al. 2023, arXiv 2310.05424, the adaptive threshold estimator); details are those of its published code
/// (<see href="https://github.com/raymin0223/fast_robust_early_exit"/>, <c>util/bmm.py</c>). There the pairs' labels stand in for the E step: a pair belongs
/// to the component of its label with 0.2 and to the other with 1e-4, divided by their sum (a share of 0.8 of the components' densities is computed and then
/// overwritten). One M step by moments follows: α = m (m (1 - m) / s² - 1), β = α (1 - m) / m, with m and s² the weighted mean and variance. The code runs
/// this once (<c>max_iters = 1</c>), and since it would take the same labels again, running it more often would change nothing. That is the fit with
/// <c>maxIterations</c> 1. Confidences are clipped to [1e-4, 1 - 1e-4], as in the code.
/// </para>
/// <para>
/// Chosen here: more iterations continue with EM proper, whose E step takes each component's share of the density, weights included, and no longer sees the
/// labels. An M step by moments does not maximize the likelihood, so an iteration counts only if it raises it; the first that does not ends the fit, and so
/// does a relative rise of at most 1e-6, a component left with less than one pair, and the maximum.
/// </para>
/// <para>
/// Also chosen: confidences are counted on a grid of step 1/4096, so that memory and time are bounded and the order of the pairs has no influence at all; a
/// variance is at least that of rounding to this grid, so that equal confidences have a fit; with fewer than <see cref="MinimumPairs"/> pairs of either label
/// there is none.
/// </para>
/// </remarks>
internal sealed class BetaMixture
{
    /// <summary>How near to 0 and 1 a confidence counts: <c>eps</c> of the published code.</summary>
    public const double Epsilon = 1e-4;

    /// <summary>The fewest pairs of either label that are fitted.</summary>
    public const int MinimumPairs = 8;

    /// <summary>The length of a histogram: confidences 0, 1/4096, …, 1.</summary>
    public const int BinCount = Steps + 1;

    private const int Steps = 4096;
    private const double SmallestVariance = 1.0 / (12.0 * Steps * Steps);
    private const double Tolerance = 1e-6;

    // 0.2 is 1 - lam_r and 1e-4 is eps_nan of the published code: a little of every pair goes to the other component.
    private const double OtherLabel = 1e-4 / (0.2 + 1e-4);

    private static readonly double[] s_x = [.. Enumerable.Range(0, BinCount).Select(bin => Math.Clamp((double)bin / Steps, Epsilon, 1 - Epsilon))];
    private static readonly double[] s_logX = [.. s_x.Select(x => Math.Log(x))];
    private static readonly double[] s_logOneMinusX = [.. s_x.Select(x => Math.Log(1 - x))];

    private BetaMixture(BetaDistribution disagreeing, BetaDistribution agreeing, double agreeingWeight)
    {
        Disagreeing = disagreeing;
        Agreeing = agreeing;
        AgreeingWeight = agreeingWeight;
    }

    /// <summary>The component of tokens the full model did not choose.</summary>
    public BetaDistribution Disagreeing { get; }

    /// <summary>The component of tokens the full model chose, too.</summary>
    public BetaDistribution Agreeing { get; }

    /// <summary>The share of <see cref="Agreeing"/> in the mixture, in (0, 1). EM uses it; <see cref="Threshold"/> does not.</summary>
    public double AgreeingWeight { get; }

    /// <summary>The bin that counts a confidence.</summary>
    /// <param name="confidence">In [0, 1].</param>
    public static int BinOf(float confidence) => (int)MathF.Round(confidence * Steps);

    /// <summary>Fits the mixture to histograms of <see cref="BinCount"/> bins.</summary>
    /// <param name="disagreeing">How many pairs with differing tokens each bin has.</param>
    /// <param name="agreeing">How many pairs with equal tokens each bin has.</param>
    /// <param name="maxIterations">At least 1, which is FREE's fit by the labels alone.</param>
    /// <returns>The mixture, or null with fewer than <see cref="MinimumPairs"/> pairs of either label.</returns>
    public static BetaMixture? Fit(ReadOnlySpan<long> disagreeing, ReadOnlySpan<long> agreeing, int maxIterations)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxIterations, 1);
        var toDisagreeing = new double[BinCount];
        var toAgreeing = new double[BinCount];
        long disagreeingPairs = 0;
        long agreeingPairs = 0;
        for (int bin = 0; bin < BinCount; bin++)
        {
            disagreeingPairs += disagreeing[bin];
            agreeingPairs += agreeing[bin];
            toDisagreeing[bin] = ((1 - OtherLabel) * disagreeing[bin]) + (OtherLabel * agreeing[bin]);
            toAgreeing[bin] = ((1 - OtherLabel) * agreeing[bin]) + (OtherLabel * disagreeing[bin]);
        }
        if (disagreeingPairs < MinimumPairs || agreeingPairs < MinimumPairs)
            return null;
        BetaMixture mixture = FromShares(toDisagreeing, toAgreeing)!;
        if (maxIterations == 1)
            return mixture;

        double logLikelihood = mixture.Share(disagreeing, agreeing, toDisagreeing, toAgreeing);
        for (int iteration = 1; iteration < maxIterations; iteration++)
        {
            if (FromShares(toDisagreeing, toAgreeing) is not { } next)
                break;
            double rise = next.Share(disagreeing, agreeing, toDisagreeing, toAgreeing) - logLikelihood;
            if (!(rise > 0))
                break;
            mixture = next;
            logLikelihood += rise;
            if (rise <= Tolerance * Math.Max(1, Math.Abs(logLikelihood)))
                break;
        }
        return mixture;
    }

    /// <summary>
    /// The smallest confidence from <paramref name="low"/> to <paramref name="high"/> from which on, up to <paramref name="high"/>, the posterior probability
    /// that the tokens agree exceeds <paramref name="level"/>, both components weighing the same.
    /// </summary>
    /// <remarks>
    /// <para>FREE's code leaves the weights out where it looks for a threshold (<c>predict_proba</c>): how often the tokens agree has no part in it.</para>
    /// <para>
    /// FREE's code takes ten confidences from 0.3 to 0.9, counts the n whose posterior exceeds the level (ζ = 0.4), and answers the n-th from the end, or the
    /// last if n = 0. Where the posterior rises, that is the smallest of the ten that exceeds the level. Chosen here: no grid, which rounds the answer up by as
    /// much as 1/15; and where the posterior does not only rise, only the confidences in one piece with <paramref name="high"/> matter, since everything above
    /// a threshold exits.
    /// </para>
    /// <para>The answer never falls as the level rises. It is <paramref name="high"/> where the posterior there does not exceed the level.</para>
    /// </remarks>
    /// <param name="level">In [0, 1].</param>
    /// <param name="low">In [0, 1].</param>
    /// <param name="high">From <paramref name="low"/> to 1.</param>
    public double Threshold(double level, double low, double high)
    {
        double wanted = Math.Log(level / (1 - level));

        // The log odds are (Δα) ln x + (Δβ) ln (1 - x) + constant, with one extremum at most, at Δα / (Δα + Δβ). Left of a minimum nothing is in one piece
        // with high unless all is; right of a maximum the odds fall, so that high decides.
        double from = low;
        double to = high;
        double alpha = Agreeing.Alpha - Disagreeing.Alpha;
        double beta = Agreeing.Beta - Disagreeing.Beta;
        if (alpha * beta > 0)
        {
            double extremum = Math.Clamp(alpha / (alpha + beta), low, high);
            if (alpha < 0)
                from = extremum;
            else
                to = extremum;
        }

        if (!(LogOdds(high) > wanted))
            return high;
        if (LogOdds(from) > wanted)
            return low;

        // The odds rise from `from` to `to`. Halving between fixed ends keeps the answer monotone in the level to the last bit.
        for (int halving = 0; halving < 48; halving++)
        {
            double middle = (from + to) / 2;
            if (LogOdds(middle) > wanted)
                to = middle;
            else
                from = middle;
        }
        return to;
    }

    /// <summary>The components that fit their shares of every bin; null if one has less than one pair.</summary>
    private static BetaMixture? FromShares(double[] toDisagreeing, double[] toAgreeing)
    {
        // Plain loops here and below: a vectorized sum's order, and so its rounding, depends on the processor.
        double disagreeing = 0;
        double agreeing = 0;
        for (int bin = 0; bin < BinCount; bin++)
        {
            disagreeing += toDisagreeing[bin];
            agreeing += toAgreeing[bin];
        }
        return Math.Min(disagreeing, agreeing) >= 1
            ? new BetaMixture(FromShare(toDisagreeing, disagreeing), FromShare(toAgreeing, agreeing), agreeing / (disagreeing + agreeing))
            : null;
    }

    private static BetaDistribution FromShare(double[] share, double total)
    {
        double sum = 0;
        for (int bin = 0; bin < BinCount; bin++)
            sum += share[bin] * s_x[bin];
        double mean = sum / total;
        double squares = 0;
        for (int bin = 0; bin < BinCount; bin++)
            squares += share[bin] * (s_x[bin] - mean) * (s_x[bin] - mean);

        // Below m (1 - m) by ε (1 - ε) at least, because every x (1 - x) is at least that: α and β are positive.
        return BetaDistribution.FromMoments(mean, Math.Max(squares / total, SmallestVariance));
    }

    private double LogOdds(double confidence)
    {
        double x = Math.Clamp(confidence, Epsilon, 1 - Epsilon);
        double logX = Math.Log(x);
        double logOneMinusX = Math.Log(1 - x);
        return Agreeing.LogDensity(logX, logOneMinusX) - Disagreeing.LogDensity(logX, logOneMinusX);
    }

    /// <summary>The E step: shares every bin's pairs out between the components, and returns the log-likelihood.</summary>
    private double Share(ReadOnlySpan<long> disagreeing, ReadOnlySpan<long> agreeing, double[] toDisagreeing, double[] toAgreeing)
    {
        double logDisagreeing = Math.Log(1 - AgreeingWeight);
        double logAgreeing = Math.Log(AgreeingWeight);
        double logLikelihood = 0;
        for (int bin = 0; bin < BinCount; bin++)
        {
            long pairs = disagreeing[bin] + agreeing[bin];
            if (pairs == 0)
                continue;
            double first = logDisagreeing + Disagreeing.LogDensity(s_logX[bin], s_logOneMinusX[bin]);
            double second = logAgreeing + Agreeing.LogDensity(s_logX[bin], s_logOneMinusX[bin]);
            double larger = Math.Max(first, second);
            double logDensity = larger + Math.Log(Math.Exp(first - larger) + Math.Exp(second - larger));
            toDisagreeing[bin] = pairs * Math.Exp(first - logDensity);
            toAgreeing[bin] = pairs * Math.Exp(second - logDensity);
            logLikelihood += pairs * logDensity;
        }
        return logLikelihood;
    }
}
