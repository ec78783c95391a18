namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>ln (1 + x) without the loss of digits near 0.</summary>
internal static class LogOnePlus
{
    /// <summary>ln (1 + <paramref name="x"/>).</summary>
    /// <param name="x">Above -1.</param>
    public static double At(double x)
    {
        // The rounding of 1 + x cancels in the quotient (Kahan; Goldberg 1991, theorem 4). double.LogP1 rounds first and loses the digits.
        double sum = 1 + x;
        return sum == 1 ? x : double.IsPositiveInfinity(sum) ? sum : Math.Log(sum) * (x / (sum - 1));
    }
}
