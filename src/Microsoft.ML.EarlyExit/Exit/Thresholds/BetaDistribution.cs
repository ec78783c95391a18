using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Exit.Thresholds;

/// <summary>A Beta distribution, density <c>x^(α-1) (1-x)^(β-1) / B(α, β)</c> on (0, 1).</summary>
internal sealed class BetaDistribution
{
    private readonly double _logNormalizer;

    /// <param name="alpha">α, positive and finite.</param>
    /// <param name="beta">β, positive and finite.</param>
    public BetaDistribution(double alpha, double beta)
    {
        Alpha = alpha;
        Beta = beta;
        _logNormalizer = LogGamma.At(alpha + beta) - LogGamma.At(alpha) - LogGamma.At(beta);
    }

    public double Alpha { get; }

    public double Beta { get; }

    public double Mean => Alpha / (Alpha + Beta);

    /// <summary>The distribution of this mean and variance: α = m (m (1 - m) / s² - 1), β = α (1 - m) / m.</summary>
    /// <param name="mean">In (0, 1).</param>
    /// <param name="variance">Positive and below m (1 - m), which no distribution on (0, 1) reaches.</param>
    public static BetaDistribution FromMoments(double mean, double variance)
    {
        double sum = (mean * (1 - mean) / variance) - 1;
        return new BetaDistribution(mean * sum, (1 - mean) * sum);
    }

    /// <summary>The density's logarithm at the x whose ln x and ln (1 - x) are given.</summary>
    public double LogDensity(double logX, double logOneMinusX) => ((Alpha - 1) * logX) + ((Beta - 1) * logOneMinusX) + _logNormalizer;
}
