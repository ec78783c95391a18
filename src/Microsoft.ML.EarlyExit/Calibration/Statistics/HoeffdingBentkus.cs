using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>The Hoeffding-Bentkus p-value of a mean above δ (Bates, Angelopoulos, Lei, Malik and Jordan 2021, arXiv 2101.02703).</summary>
internal static class HoeffdingBentkus
{
    /// <summary>The smaller of <see cref="Hoeffding"/> and <see cref="Bentkus"/>, at most 1.</summary>
    /// <param name="losses">Losses in [0, 1].</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double PValue(ReadOnlySpan<double> losses, double delta) => PValue(LossSum.Of(losses), delta);

    /// <inheritdoc cref="PValue(ReadOnlySpan{double}, double)"/>
    /// <param name="losses">The sum of at least one loss.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double PValue(LossSum losses, double delta)
    {
        CalibrationArguments.CheckOpenUnit(delta);
        return Math.Min(1, Math.Min(Hoeffding(losses.Count, losses.Mean, delta), Bentkus(losses.Count, losses.Ceiling, delta)));
    }

    /// <summary>exp(-n h1(min(r, δ), δ)), h1(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b)).</summary>
    /// <param name="count">n.</param>
    /// <param name="mean">r, in [0, 1].</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double Hoeffding(long count, double mean, double delta)
    {
        if (mean >= delta)
            return 1;
        double below = delta - mean;
        double divergence = (mean == 0 ? 0 : mean * LogOnePlus.At(-below / delta)) + ((1 - mean) * LogOnePlus.At(below / (1 - delta)));
        return Math.Exp(-count * divergence);
    }

    /// <summary>e P(Bin(n, δ) ≤ k), which may exceed 1.</summary>
    /// <param name="count">n.</param>
    /// <param name="ceiling">k, the sum of the losses rounded up.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double Bentkus(long count, long ceiling, double delta) => Math.Exp(1 + BinomialTail.LogAtMost(ceiling, count, delta));
}
