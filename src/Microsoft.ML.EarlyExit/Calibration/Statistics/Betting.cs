using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>
/// The betting test of a mean above δ by Waudby-Smith and Ramdas (<i>Estimating means of bounded random variables by betting</i>, JRSS B 2024, arXiv
/// 2010.09686), with their predictable plug-in stakes for a known number of rows.
/// </summary>
/// <remarks>
/// The capital starts at 1 and becomes K_t = Π (1 - v_i (x_i - δ)); v_i = min(1, √(2 ln(1/α) / (n s²_{i-1}))), μ_t = (1/2 + Σ x) / (t + 1), s²_t = (1/4 + Σ
/// (x_i - μ_i)²) / (t + 1), s²_0 = 1/4. If the mean is δ or more, the capital is a supermartingale and ever reaches 1/p with probability p at most (Ville). The
/// p-value is 1 over the largest capital. It depends on the order of the rows, which must not be chosen by their losses.
/// </remarks>
internal static class Betting
{
    /// <summary>min(1, 1 / max K_t).</summary>
    /// <param name="losses">Losses in [0, 1], in the order of the rows.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <param name="level">
    /// α, the error level that the p-value will be compared with, in (0, 1). The p-value holds whatever it is, if it was fixed before the losses were seen.
    /// </param>
    public static double PValue(ReadOnlySpan<double> losses, double delta, double level) => Math.Min(1, Math.Exp(-LogCapital(losses, delta, level).Largest));

    /// <summary>The logarithms of the largest capital after any row, and of the last.</summary>
    /// <inheritdoc cref="PValue"/>
    public static (double Largest, double Last) LogCapital(ReadOnlySpan<double> losses, double delta, double level)
    {
        CalibrationArguments.CheckLosses(losses);
        CalibrationArguments.CheckOpenUnit(delta);
        CalibrationArguments.CheckOpenUnit(level);
        var stakes = new BettingStakes(losses.Length, level);
        double largest = double.NegativeInfinity;
        double log = 0;
        foreach (double loss in losses)
        {
            log += LogOnePlus.At(stakes.Next * (delta - loss));
            largest = Math.Max(largest, log);
            stakes.Observe(loss);
        }

        return (largest, log);
    }

    /// <summary>min(1, 1 / max K_t) of rows without loss.</summary>
    public static double PValueOfZeros(long count, double delta, double level)
    {
        var stakes = new BettingStakes(count, level);
        double log = 0;
        for (long row = 0; row < count; row++)
        {
            // The same operations as for losses, so that the values are the same to the last bit; here the last capital is the largest.
            log += LogOnePlus.At(stakes.Next * delta);
            stakes.Observe(0);
        }

        return Math.Min(1, Math.Exp(-log));
    }
}
