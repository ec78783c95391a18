namespace Microsoft.ML.EarlyExit;

/// <summary>The exact binomial test of 0/1 losses, and its inversion: the one-sided bounds of Clopper and Pearson (1934).</summary>
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

    /// <summary>The upper bound on the probability of a one: too small with probability at most <paramref name="epsilon"/>. 1 where all are ones.</summary>
    /// <param name="ones">k, 0 to <paramref name="count"/>.</param>
    /// <param name="count">n, at least 1.</param>
    /// <param name="epsilon">The error level, in (0, 1).</param>
    public static double UpperBound(long ones, long count, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(ones);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ones, count);
        if (ones == count)
            return 1;
        double low = 0;
        double high = 1;
        double level = Math.Log(epsilon);

        // Until the ends are neighbours; the upper one keeps the promise.
        while (low + ((high - low) / 2) is double middle && middle > low && middle < high)
        {
            if (BinomialTail.LogAtMost(ones, count, middle) > level)
                low = middle;
            else
                high = middle;
        }

        return high;
    }

    /// <summary>The lower bound on the probability of a one: too large with probability at most <paramref name="epsilon"/>. 0 where none is.</summary>
    /// <inheritdoc cref="UpperBound"/>
    public static double LowerBound(long ones, long count, double epsilon) => 1 - UpperBound(count - ones, count, epsilon);
}
