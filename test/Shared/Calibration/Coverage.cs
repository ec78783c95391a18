using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>What a test did over many simulated calibrations.</summary>
/// <param name="Test">The test.</param>
/// <param name="Epsilon">The error level.</param>
/// <param name="Violations">The share of calibrations in which a threshold passed whose true risk exceeds δ.</param>
/// <param name="Power">
/// The mean of how far down the grid the selected threshold is, relative to the last before the first whose risk exceeds δ; 0 where none passed.
/// </param>
internal sealed record Coverage(RiskTest Test, double Epsilon, double Violations, double Power)
{
    /// <summary>The most violations that chance explains: ε and three standard errors.</summary>
    public static double Allowed(double epsilon, int repetitions) => epsilon + (3 * Math.Sqrt(epsilon * (1 - epsilon) / repetitions));

    /// <summary>Calibrates many times, every test on the same tables, by a fixed sequence.</summary>
    public static IReadOnlyList<Coverage> Simulate(
        LossShape shape, RiskProfile profile, int rows, double delta, IReadOnlyList<double> epsilons, int repetitions)
    {
        RiskTest[] tests = [RiskTest.HoeffdingBentkus, RiskTest.Wsr, .. shape == LossShape.Bernoulli ? (RiskTest[])[RiskTest.Binomial] : []];
        double[] risks = SimulatedLosses.Risks(profile, delta);
        int best = Array.FindIndex(risks, risk => risk > delta) - 1;
        int[,] violations = new int[tests.Length, epsilons.Count];
        long[,] reached = new long[tests.Length, epsilons.Count];
        Parallel.For(
            0,
            repetitions,
            () => risks.Select(_ => new double[rows]).ToArray(),
            (repetition, _, columns) =>
            {
                new SimulatedLosses((repetition * 1009) + (rows * 7) + (int)(delta * 1000) + (int)shape + (10 * (int)profile)).Fill(columns, shape, risks);
                for (int test = 0; test < tests.Length; test++)
                {
                    for (int level = 0; level < epsilons.Count; level++)
                    {
                        int selected = Selected(tests[test], columns, delta, epsilons[level]);
                        if (selected > best)
                            Interlocked.Increment(ref violations[test, level]);
                        Interlocked.Add(ref reached[test, level], Math.Min(selected, best) + 1);
                    }
                }

                return columns;
            },
            _ => { });

        return
        [
            .. from test in Enumerable.Range(0, tests.Length)
               from level in Enumerable.Range(0, epsilons.Count)
               let power = (double)reached[test, level] / repetitions / (best + 1)
               select new Coverage(tests[test], epsilons[level], (double)violations[test, level] / repetitions, power),
        ];
    }

    private static int Selected(RiskTest test, double[][] columns, double delta, double epsilon) =>
        FixedSequence.Walk(Candidate.All(1, columns.Length), epsilon, candidate => test.PValue(columns[candidate.GridIndex], delta, epsilon))
            .Count(verdict => verdict.Passed) - 1;
}
