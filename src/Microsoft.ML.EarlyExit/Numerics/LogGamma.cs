namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>The natural logarithm of the gamma function, for positive numbers.</summary>
/// <remarks>
/// Stirling's series (DLMF 5.11.1, <see href="https://dlmf.nist.gov/5.11"/>) from 10 up; smaller arguments are brought there by Γ(x + 1) = x Γ(x) (DLMF 5.5.1).
/// The first term left out is below 1e-14 at 10. The error is below 1e-13, relative or absolute, whichever is the larger.
/// </remarks>
internal static class LogGamma
{
    private const double StirlingFrom = 10;
    private const double HalfLogTwoPi = 0.91893853320467274178;

    // B_2k / (2k (2k - 1)) for k = 1 to 6: the coefficients of x^-1, x^-3, …, x^-11.
    private static ReadOnlySpan<double> Coefficients => [1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360];

    /// <summary>ln Γ(<paramref name="x"/>).</summary>
    /// <param name="x">Positive and finite.</param>
    public static double At(double x)
    {
        // At most ten factors below 10, so that the product cannot overflow.
        double product = 1;
        for (; x < StirlingFrom; x++)
            product *= x;

        return Stirling(x) + Series(x) - Math.Log(product);
    }

    /// <summary>What Stirling's formula leaves out: ln Γ(x) - ((x - 1/2) ln x - x + ln √(2π)). Its error is below 1e-13 absolute, however large x is.</summary>
    /// <param name="x">Positive and finite.</param>
    public static double StirlingRemainder(double x) => x < StirlingFrom ? At(x) - Stirling(x) : Series(x);

    private static double Stirling(double x) => ((x - 0.5) * Math.Log(x)) - x + HalfLogTwoPi;

    private static double Series(double x)
    {
        double inverse = 1 / x;
        double inverseSquare = inverse * inverse;
        double series = 0;
        for (int k = Coefficients.Length - 1; k >= 0; k--)
            series = (series * inverseSquare) + Coefficients[k];
        return series * inverse;
    }
}
