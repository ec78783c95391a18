namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary><see cref="RiskProcedure.Holm"/>: the smallest of m p-values at ε/m, the next at ε/(m - 1), and so on until one does not pass.</summary>
internal static class Holm
{
    /// <inheritdoc cref="LearnThenTest.Walk"/>
    public static Verdict[] Walk(IReadOnlyList<Candidate> candidates, double epsilon, Func<Candidate, double> pValueOf)
    {
        Verdict[] verdicts = [.. candidates.Select(candidate => Verdict.Of(candidate, epsilon, pValueOf) with { Passed = false })];
        int left = verdicts.Length;
        foreach (int index in Enumerable.Range(0, verdicts.Length).OrderBy(index => verdicts[index].Value))
        {
            if (!(verdicts[index].Value <= epsilon / left))
                break;
            verdicts[index] = verdicts[index] with { Passed = true };
            left--;
        }

        return verdicts;
    }
}
