namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>Losses whose true mean is known.</summary>
internal struct SimulatedLosses
{
    private const double Step = 0.4;
    private ulong _state;

    /// <param name="seed">The same losses for the same seed.</param>
    public SimulatedLosses(int seed) => _state = unchecked((ulong)seed * 0xD1342543DE82EF95UL);

    /// <summary>True risks in units of δ.</summary>
    public static double[] Risks(RiskProfile profile, double delta)
    {
        double[] shares = profile switch
        {
            RiskProfile.Gradual => [0.1, 0.3, 0.5, 0.65, 0.8, 0.95, 1.001, 1.4],
            RiskProfile.Border => [0.02, 0.05, 0.1, 1.001, 1.2, 1.4, 1.6],
            RiskProfile.Spike => [0.05, 0.1, 1.001, 0.2, 0.5, 0.9, 1.2],
            _ => throw new ArgumentOutOfRangeException(nameof(profile)),
        };
        return Array.ConvertAll(shares, share => share * delta);
    }

    /// <summary>A loss of this mean.</summary>
    public double Next(LossShape shape, double mean) => Quantile(shape, mean, NextUniform());

    /// <summary>
    /// A table, a column for each risk. Rows are independent; in a row most losses come from one draw, as texts that are hard are hard at every threshold.
    /// </summary>
    public void Fill(double[][] columns, LossShape shape, double[] risks)
    {
        for (int row = 0; row < columns[0].Length; row++)
        {
            double shared = NextUniform();
            for (int column = 0; column < columns.Length; column++)
            {
                bool own = NextUniform() < 0.3;
                columns[column][row] = Quantile(shape, risks[column], own ? NextUniform() : shared);
            }
        }
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double NextUniform()
    {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        ulong bits = _state += 0x9E3779B97F4A7C15UL;
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9UL;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBUL;
        return ((bits ^ (bits >> 31)) >> 11) * (1.0 / (1L << 53));
    }

    private static double Quantile(LossShape shape, double mean, double uniform) => shape switch
    {
        LossShape.Bernoulli => uniform >= 1 - mean ? 1 : 0,
        LossShape.Beta => 1 - Math.Pow(1 - uniform, mean / (1 - mean)),
        LossShape.TwoPoint => uniform >= 1 - (mean / Step) ? Step : 0,
        LossShape.Mixture => uniform >= 1 - (mean / 2) ? 1 : uniform / (1 - (mean / 2)) * mean / (1 - (mean / 2)),
        _ => throw new ArgumentOutOfRangeException(nameof(shape)),
    };
}
