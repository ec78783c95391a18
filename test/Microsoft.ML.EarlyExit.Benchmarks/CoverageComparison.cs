using System.Globalization;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>How often calibration breaks its promise and how much it finds, on simulated losses of a known mean; the same for the monitor of drift.</summary>
internal static class CoverageComparison
{
    private const int Repetitions = 1000;
    private static readonly double[] s_deltas = [0.05, 0.1, 0.2];
    private static readonly double[] s_epsilons = [0.05, 0.1];

    public static int Run()
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        int broken = Calibrations();
        Console.WriteLine();
        broken += Procedures();
        Console.WriteLine();
        broken += FalseAlarms();
        Console.WriteLine();
        Delays();
        if (broken > 0)
            Console.Error.WriteLine($"{broken} shares are above ε and three standard errors.");
        return broken == 0 ? 0 : 1;
    }

    private static int Calibrations()
    {
        int broken = 0;
        Console.WriteLine("| test | losses | rows | violations at ε 0.05, % | at ε 0.1, % | power at δ 0.05, % | at δ 0.1, % | at δ 0.2, % |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        foreach (LossShape shape in Enum.GetValues<LossShape>())
        {
            foreach (int rows in (int[])[50, 200, 1000])
            {
                (RiskProfile Profile, double Delta, Coverage Coverage)[] results =
                [
                    .. from profile in Enum.GetValues<RiskProfile>()
                       from delta in s_deltas
                       from coverage in Coverage.Simulate(shape, profile, rows, delta, s_epsilons, Repetitions)
                       select (profile, delta, coverage),
                ];
                broken += results.Count(result => result.Coverage.Violations > Coverage.Allowed(result.Coverage.Epsilon, Repetitions));
                foreach (var test in results.GroupBy(result => result.Coverage.Test).OrderBy(group => group.Key))
                {
                    string worst = string.Join(" | ", s_epsilons.Select(epsilon =>
                        $"{100 * test.Where(result => result.Coverage.Epsilon == epsilon).Max(result => result.Coverage.Violations):F1}"));
                    string power = string.Join(" | ", from delta in s_deltas
                                                      let at = (delta, 0.05, RiskProfile.Gradual)
                                                      let result = test.Single(result => (result.Delta, result.Coverage.Epsilon, result.Profile) == at)
                                                      select $"{100 * result.Coverage.Power:F0}");
                    Console.WriteLine($"| {test.Key} | {shape} | {rows} | {worst} | {power} |");
                }
            }
        }

        return broken;
    }

    private static int Procedures()
    {
        const double Delta = 0.1;
        const double Epsilon = 0.1;
        int broken = 0;
        Console.WriteLine("| procedure | losses | rows | violations, % | power, % |");
        Console.WriteLine("|---|---|---|---|---|");
        foreach (LossShape shape in (LossShape[])[LossShape.Bernoulli, LossShape.Beta])
        {
            foreach (int rows in (int[])[200, 1000])
            {
                foreach (ProcedureCoverage coverage in ProcedureCoverage.Simulate(shape, rows, Delta, Epsilon, Repetitions))
                {
                    broken += coverage.Violations > Coverage.Allowed(Epsilon, Repetitions) ? 1 : 0;
                    Console.WriteLine($"| {coverage.Procedure} | {shape} | {rows} | {100 * coverage.Violations:F1} | {100 * coverage.Power:F0} |");
                }
            }
        }

        return broken;
    }

    private static int FalseAlarms()
    {
        int broken = 0;
        Console.WriteLine("| losses | δ | false alarms at α 0.05, % | at α 0.01, % |");
        Console.WriteLine("|---|---|---|---|");
        foreach (LossShape shape in Enum.GetValues<LossShape>())
        {
            foreach (double delta in s_deltas)
            {
                double[] alphas = [0.05, 0.01];
                double[] shares = Array.ConvertAll(alphas, alpha => DriftDetection.Simulate(shape, delta, alpha, delta, 10_000, delta, 0, Repetitions).Early);
                broken += alphas.Where((alpha, index) => shares[index] > Coverage.Allowed(alpha, Repetitions)).Count();
                Console.WriteLine($"| {shape} | {delta} | {100 * shares[0]:F1} | {100 * shares[1]:F1} |");
            }
        }

        return broken;
    }

    private static void Delays()
    {
        const double Delta = 0.1;
        Console.WriteLine("| losses | good rows before | delay to 1.2 δ | to 1.5 δ | to 2 δ | to 3 δ |");
        Console.WriteLine("|---|---|---|---|---|---|");
        foreach (LossShape shape in Enum.GetValues<LossShape>())
        {
            foreach (int before in (int[])[0, 200, 2000, 20_000])
            {
                var delays = from rise in (double[])[1.2, 1.5, 2, 3]
                             let detection = DriftDetection.Simulate(shape, Delta, 0.05, Delta / 2, before, rise * Delta, 10_000, 300)
                             select detection.MedianDelay is { } delay ? $"{delay}" : "> 10000";
                Console.WriteLine($"| {shape} | {before} | {string.Join(" | ", delays)} |");
            }
        }
    }
}
