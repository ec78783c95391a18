using Microsoft.ML.EarlyExit.Calibration.Procedures;

namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>The p-values of every <see cref="RiskTest"/>, and the rows they need.</summary>
internal static class RiskTests
{
    /// <summary>The most rows <see cref="SmallestRowCount"/> looks for.</summary>
    public const int MostRows = 10_000_000;

    /// <summary>The p-value of H: E[loss] &gt; δ.</summary>
    /// <param name="test">The test.</param>
    /// <param name="losses">A threshold's losses in the order of the rows, in [0, 1]; 0 or 1 for <see cref="RiskTest.Binomial"/>.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <param name="level">
    /// The error level the p-value will be compared with (<see cref="LearnThenTest.Level"/>), in (0, 1); <see cref="RiskTest.Wsr"/> makes its stakes for it.
    /// </param>
    /// <exception cref="ArgumentException">There is no loss, or one is NaN, outside [0, 1] or not of the kind the test takes; the message names its
    /// row.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is not in (0, 1), or the test is not one.</exception>
    public static double PValue(this RiskTest test, ReadOnlySpan<double> losses, double delta, double level) => test switch
    {
        RiskTest.HoeffdingBentkus => HoeffdingBentkus.PValue(losses, delta),
        RiskTest.Binomial => ExactBinomial.PValue(losses, delta),
        RiskTest.Wsr => Betting.PValue(losses, delta, level),
        _ => throw Unknown(test),
    };

    /// <summary>The fewest rows with which a threshold could pass, were all its losses 0.</summary>
    /// <param name="test">The test.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <param name="level">What the p-value has to be at most, in (0, 1): ε, or what the procedure leaves of it (<see cref="LearnThenTest.Level"/>).</param>
    /// <returns>The number, at least 1; null where it exceeds <see cref="MostRows"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is not in (0, 1), or the test is not one.</exception>
    public static int? SmallestRowCount(this RiskTest test, double delta, double level)
    {
        CalibrationArguments.CheckOpenUnit(delta);
        CalibrationArguments.CheckOpenUnit(level);
        // More rows without loss never raise a p-value, so halving finds the border itself, and no rounding of a formula can be off by one. With stakes, too:
        // all shrink as n grows, by less than the added row gains, because the last stake is the largest.
        int fails = 0;
        int passes = 1;
        while (!Passes(passes))
        {
            if (passes == MostRows)
                return null;
            (fails, passes) = (passes, Math.Min(2 * passes, MostRows));
        }

        while (passes - fails > 1)
        {
            int middle = fails + ((passes - fails) / 2);
            if (Passes(middle))
                passes = middle;
            else
                fails = middle;
        }

        return passes;

        bool Passes(int count) => level >= test switch
        {
            RiskTest.HoeffdingBentkus => HoeffdingBentkus.PValue(LossSum.Zeros(count), delta),
            RiskTest.Binomial => ExactBinomial.PValue(0, count, delta),
            RiskTest.Wsr => Betting.PValueOfZeros(count, delta, level),
            _ => throw Unknown(test),
        };
    }

    private static ArgumentOutOfRangeException Unknown(RiskTest test) => new(nameof(test), test, "This is no RiskTest.");
}
