namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary><see cref="RiskProcedure.FixedSequenceByCost"/>: one sequence over all candidates at ε, from the largest held-out cost to the smallest, until the
/// first p-value above.</summary>
internal static class FixedSequenceByCost
{
    /// <inheritdoc cref="LearnThenTest.Walk"/>
    public static Verdict[] Walk(
        IReadOnlyList<Candidate> candidates, double epsilon, Func<Candidate, double> heldOutCostOf, Func<Candidate, double> pValueOf)
    {
        // All costs before the first p-value: the order must not depend on one. Those of equal cost stay as they stand.
        (Candidate Candidate, double Cost)[] costs = [.. candidates.Select(candidate => (candidate, heldOutCostOf(candidate)))];
        foreach ((Candidate candidate, double cost) in costs)
        {
            if (double.IsNaN(cost))
            {
                throw new ArgumentException(
                    $"The cost of policy {candidate.PolicyIndex} at index {candidate.GridIndex} of its grid is NaN.", nameof(heldOutCostOf));
            }
        }

        return [.. Sequence.Walk(costs.OrderByDescending(pair => pair.Cost).Select(pair => pair.Candidate), epsilon, pValueOf)];
    }
}
