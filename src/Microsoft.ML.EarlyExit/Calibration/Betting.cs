namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The betting test of a mean above δ by Waudby-Smith and Ramdas (<i>Estimating means of bounded random variables by betting</i>, JRSS B 2024, arXiv 2010.09686),
/// with their predictable plug-in stakes for a known number of rows.
/// </summary>
/// <remarks>
/// The capital starts at 1 and becomes K_t = Π (1 - v_i (x_i - δ)); v_i = min(1, √(2 ln(1/α) / (n s²_{i-1}))), μ_t = (1/2 + Σ x) / (t + 1), s²_t = (1/4 + Σ (x_i
/// - μ_i)²) / (t + 1), s²_0 = 1/4. If the mean is δ or more, the capital is a supermartingale and ever reaches 1/p with probability p at most (Ville). The
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

    /// <summary>The upper bound on the mean: the smallest δ at which the capital reaches 1/<paramref name="level"/>; 1 if none does.</summary>
    /// <remarks>It is too small with probability at most <paramref name="level"/>. All stakes are the same for every δ, so one bet decides about all.</remarks>
    /// <param name="losses">Losses in [0, 1], in the order of the rows.</param>
    /// <param name="level">The error level, in (0, 1).</param>
    public static double UpperBound(ReadOnlySpan<double> losses, double level)
    {
        CalibrationArguments.CheckLosses(losses);
        CalibrationArguments.CheckOpenUnit(level);
        double[] stakes = new double[losses.Length];
        var next = new BettingStakes(losses.Length, level);
        for (int row = 0; row < stakes.Length; row++)
        {
            stakes[row] = next.Next;
            next.Observe(losses[row]);
        }

        double wanted = -Math.Log(level);
        if (!Reaches(losses, stakes, 1, wanted))
            return 1;
        double low = 0;
        double high = 1;
        while (high - low > 1e-16 && low + ((high - low) / 2) is double middle && middle > low && middle < high)
        {
            if (Reaches(losses, stakes, middle, wanted))
                high = middle;
            else
                low = middle;
        }

        return high;
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

    private static bool Reaches(ReadOnlySpan<double> losses, double[] stakes, double mean, double wanted)
    {
        double log = 0;
        for (int row = 0; row < losses.Length; row++)
        {
            // At a mean of 1 or 0 the capital may be lost entirely: the logarithm is then that of 0.
            double change = stakes[row] * (mean - losses[row]);
            log += change <= -1 ? double.NegativeInfinity : LogOnePlus.At(change);
            if (log >= wanted)
                return true;
        }

        return false;
    }
}
