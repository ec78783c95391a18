using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>The exact binomial test of 0/1 losses.</summary>
internal static class ExactBinomial
{
    /// <summary>P(Bin(n, δ) ≤ k), k the number of ones.</summary>
    /// <param name="losses">Each 0 or 1.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <exception cref="ArgumentException">A loss is neither 0 nor 1.</exception>
    public static double PValue(ReadOnlySpan<double> losses, double delta)
    {
        CalibrationArguments.CheckLosses(losses);
        int ones = 0;
        for (int row = 0; row < losses.Length; row++)
        {
            if (losses[row] is not (0 or 1))
            {
                throw new ArgumentException(
                    $"The loss of row {row} is {losses[row]:R}; the binomial test needs losses that are 0 or 1; other tests take others.", nameof(losses));
            }

            ones += (int)losses[row];
        }

        return PValue(ones, losses.Length, delta);
    }

    /// <inheritdoc cref="PValue(ReadOnlySpan{double}, double)"/>
    /// <param name="ones">k, 0 to <paramref name="count"/>.</param>
    /// <param name="count">n, at least 1.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double PValue(long ones, long count, double delta)
    {
        CalibrationArguments.CheckOpenUnit(delta);
        return Math.Exp(BinomialTail.LogAtMost(ones, count, delta));
    }
}
