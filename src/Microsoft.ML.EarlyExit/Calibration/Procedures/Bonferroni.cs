namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary><see cref="RiskProcedure.Bonferroni"/>: each of m candidates at ε/m.</summary>
internal static class Bonferroni
{
    /// <summary>ε/m: what p-values are compared with.</summary>
    public static double Level(IReadOnlyList<Candidate> candidates, double epsilon) => epsilon / candidates.Count;

    /// <inheritdoc cref="LearnThenTest.Walk"/>
    public static Verdict[] Walk(IReadOnlyList<Candidate> candidates, double epsilon, Func<Candidate, double> pValueOf)
    {
        double level = Level(candidates, epsilon);
        return [.. candidates.Select(candidate => Verdict.Of(candidate, level, pValueOf))];
    }
}
