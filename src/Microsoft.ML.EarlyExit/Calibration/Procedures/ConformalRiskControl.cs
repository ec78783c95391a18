using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary>
/// <see cref="RiskProcedure.ConformalRiskControl"/> (Angelopoulos, Bates, Fisch, Lei and Schuster, arXiv 2208.02814), for losses in [0, 1]: one policy, down
/// its grid until the first adjusted risk above δ.
/// </summary>
/// <remarks>
/// It promises less than a test: E[loss] ≤ δ for the next row, averaged over the draws of the calibration rows too, and nothing about how often a draw gives a
/// threshold whose own mean loss is larger. It assumes that the rows are exchangeable with the next, and that no row's loss falls as the threshold falls; text
/// generation keeps the second only roughly, and then nothing is promised.
/// </remarks>
internal static class ConformalRiskControl
{
    /// <summary>n/(n+1) r + 1/(n+1), r the mean loss of n rows: the mean with one more row of the largest loss.</summary>
    public static double AdjustedRisk(ReadOnlySpan<double> losses)
    {
        LossSum sum = LossSum.Of(losses);
        return (sum.Total + 1) / (sum.Count + 1);
    }

    /// <summary>The fewest rows with which a threshold could pass, were all its losses 0.</summary>
    public static long SmallestRowCount(double delta) => (long)Math.Ceiling((1 / delta) - 1);

    /// <summary>Tests the thresholds of a policy until one fails.</summary>
    /// <param name="candidates">The policy's candidates, from the highest threshold down.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <param name="adjustedRiskOf">A candidate's <see cref="AdjustedRisk"/>; called once for each that is tested.</param>
    /// <returns>Those that were tested, in their order.</returns>
    public static Verdict[] Walk(IReadOnlyList<Candidate> candidates, double delta, Func<Candidate, double> adjustedRiskOf)
    {
        CalibrationArguments.CheckOpenUnit(delta);
        return [.. Sequence.Walk(candidates, delta, adjustedRiskOf)];
    }
}
