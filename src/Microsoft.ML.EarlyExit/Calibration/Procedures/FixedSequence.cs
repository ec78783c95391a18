namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary><see cref="RiskProcedure.FixedSequence"/>: a sequence for each of P policies at ε/P, each down its grid until the first p-value above.</summary>
internal static class FixedSequence
{
    /// <summary>ε/P: what p-values are compared with.</summary>
    public static double Level(IReadOnlyList<Candidate> candidates, double epsilon) =>
        epsilon / candidates.DistinctBy(candidate => candidate.PolicyIndex).Count();

    /// <inheritdoc cref="LearnThenTest.Walk"/>
    public static Verdict[] Walk(IReadOnlyList<Candidate> candidates, double epsilon, Func<Candidate, double> pValueOf)
    {
        double level = Level(candidates, epsilon);
        return [.. candidates.GroupBy(candidate => candidate.PolicyIndex).SelectMany(policy => Sequence.Walk(policy, level, pValueOf))];
    }
}
