namespace Microsoft.ML.EarlyExit;

/// <summary>Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, arXiv 2208.02814), for losses in [0, 1].</summary>
/// <remarks>
/// It promises less than a test: E[loss] ≤ α for the next row, averaged over the draws of the calibration rows too, and nothing about how often a draw gives a
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

    /// <summary>The index of the last threshold such that its adjusted risk and all before are at most α; -1 if the first is not.</summary>
    /// <param name="adjustedRisks">The thresholds' <see cref="AdjustedRisk"/>, from the safest down.</param>
    /// <param name="alpha">α, in (0, 1).</param>
    public static int Select(ReadOnlySpan<double> adjustedRisks, double alpha)
    {
        CalibrationArguments.CheckOpenUnit(alpha);
        int index = 0;
        while (index < adjustedRisks.Length && adjustedRisks[index] <= alpha)
            index++;
        return index - 1;
    }
}
