using System.Runtime.CompilerServices;

namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>Checks of what calibration is given.</summary>
internal static class CalibrationArguments
{
    /// <summary>Checks a tolerance, an error level or a probability.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not in (0, 1).</exception>
    public static void CheckOpenUnit(double value, [CallerArgumentExpression(nameof(value))] string? name = null)
    {
        // Not the opposite comparison: NaN has to fail.
        if (!(value > 0 && value < 1))
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be above 0 and below 1.");
    }

    /// <summary>Checks that there are losses, and that each is in [0, 1].</summary>
    /// <exception cref="ArgumentException">There is none, or one is NaN or outside [0, 1]; the message names its row.</exception>
    public static void CheckLosses(ReadOnlySpan<double> losses, [CallerArgumentExpression(nameof(losses))] string? name = null)
    {
        if (losses.IsEmpty)
            throw new ArgumentException("There are no losses; calibration needs at least one row.", name);
        for (int row = 0; row < losses.Length; row++)
        {
            if (!(losses[row] >= 0 && losses[row] <= 1))
                throw new ArgumentException($"The loss of row {row} is {losses[row]:R}; losses must be within [0, 1].", name);
        }
    }
}
