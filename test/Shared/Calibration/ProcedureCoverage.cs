using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>What a <see cref="RiskProcedure"/> did with three policies of 35 thresholds over many simulated calibrations by Hoeffding and Bentkus's
/// test.</summary>
/// <param name="Procedure">The procedure.</param>
/// <param name="Violations">The share of calibrations in which a threshold passed whose true risk exceeds δ.</param>
/// <param name="Power">The mean of what the cheapest one that passed saves, relative to the cheapest whose risk does not exceed δ.</param>
internal sealed record ProcedureCoverage(RiskProcedure Procedure, double Violations, double Power)
{
    private const int Thresholds = 35;

    /// <summary>Calibrates many times, every procedure on the same tables.</summary>
    public static IReadOnlyList<ProcedureCoverage> Simulate(LossShape shape, int rows, double delta, double epsilon, int repetitions)
    {
        // Risks grow down each grid to 1.4 δ and more, at a pace of their own; what is riskier saves more, but not in the same measure.
        double[][] risks = [.. new[] { 1.4, 1.6, 2.0 }.Select(last => Grid(depth => last * delta * Math.Pow(depth, 1.5)))];
        double[][] savings = [.. new[] { 0.6, 0.5, 0.7 }.Select(last => Grid(depth => last * depth))];
        Candidate[] candidates = Candidate.All(risks.Length, Thresholds);
        double best = Largest(savings, candidates.Where(IsSafe));
        RiskProcedure[] procedures = [.. Enum.GetValues<RiskProcedure>().Where(procedure => procedure != RiskProcedure.ConformalRiskControl)];
        int[] violations = new int[procedures.Length];
        double[,] powers = new double[procedures.Length, repetitions];
        Parallel.For(
            0,
            repetitions,
            () => Enumerable.Range(0, Thresholds).Select(_ => new double[rows]).ToArray(),
            (repetition, _, columns) =>
            {
                var losses = new SimulatedLosses((repetition * 3001) + (rows * 11) + (int)shape);
                double[][] pValues = new double[risks.Length][];
                for (int policy = 0; policy < risks.Length; policy++)
                {
                    losses.Fill(columns, shape, risks[policy]);
                    pValues[policy] = Array.ConvertAll(columns, column => HoeffdingBentkus.PValue(column, delta));
                }

                double[][] costs = [.. savings.Select(row => Array.ConvertAll(row, saving => 1 - saving + (0.01 * losses.NextUniform())))];
                for (int index = 0; index < procedures.Length; index++)
                {
                    Candidate[] passed =
                    [
                        .. LearnThenTest.Walk(
                                procedures[index], candidates, epsilon,
                                candidate => costs[candidate.PolicyIndex][candidate.GridIndex],
                                candidate => pValues[candidate.PolicyIndex][candidate.GridIndex])
                            .Where(verdict => verdict.Passed)
                            .Select(verdict => verdict.Candidate),
                    ];
                    if (passed.Any(candidate => !IsSafe(candidate)))
                        Interlocked.Increment(ref violations[index]);
                    powers[index, repetition] = Largest(savings, passed.Where(IsSafe)) / best;
                }

                return columns;
            },
            _ => { });

        return
        [
            .. procedures.Select((procedure, index) => new ProcedureCoverage(
                procedure, (double)violations[index] / repetitions, Enumerable.Range(0, repetitions).Average(repetition => powers[index, repetition]))),
        ];

        bool IsSafe(Candidate candidate) => risks[candidate.PolicyIndex][candidate.GridIndex] <= delta;
    }

    /// <summary>A value for each threshold; the depth is 0 at the first and 1 at the last.</summary>
    private static double[] Grid(Func<double, double> value) =>
        [.. Enumerable.Range(0, Thresholds).Select(index => value(Math.Max(0.2, index) / (Thresholds - 1)))];

    private static double Largest(double[][] savings, IEnumerable<Candidate> candidates) =>
        candidates.Select(candidate => savings[candidate.PolicyIndex][candidate.GridIndex]).DefaultIfEmpty(0).Max();
}
