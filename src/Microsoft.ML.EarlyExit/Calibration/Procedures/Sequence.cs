namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary>Testing in a fixed order: the first candidate that fails ends it, and those behind it are not asked for.</summary>
internal static class Sequence
{
    /// <summary>Tests candidates one after the other until one fails.</summary>
    /// <param name="candidates">The candidates, in an order that was fixed before their losses were seen.</param>
    /// <param name="limit">What a value must not exceed.</param>
    /// <param name="valueOf">A candidate's value, in [0, 1]; called once for each that is tested.</param>
    /// <returns>Those that were tested, in their order; all but perhaps the last passed.</returns>
    public static IEnumerable<Verdict> Walk(IEnumerable<Candidate> candidates, double limit, Func<Candidate, double> valueOf)
    {
        foreach (Candidate candidate in candidates)
        {
            var verdict = Verdict.Of(candidate, limit, valueOf);
            yield return verdict;
            if (!verdict.Passed)
                yield break;
        }
    }
}
