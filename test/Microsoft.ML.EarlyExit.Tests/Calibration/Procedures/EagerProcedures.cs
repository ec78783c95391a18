using Microsoft.ML.EarlyExit.Calibration.Procedures;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What each procedure lets pass, by its definition and from all values at once: another way than the library's, which asks for one after the
/// other.</summary>
internal static class EagerProcedures
{
    /// <summary>The candidates that pass.</summary>
    /// <param name="procedure">The procedure.</param>
    /// <param name="candidates">All candidates: policy by policy, each from its highest threshold down.</param>
    /// <param name="limit">ε; for conformal risk control δ.</param>
    /// <param name="value">A candidate's p-value; for conformal risk control its adjusted risk.</param>
    /// <param name="cost">A candidate's cost.</param>
    public static HashSet<Candidate> Passed(
        RiskProcedure procedure, Candidate[] candidates, double limit, Func<Candidate, double> value, Func<Candidate, double> cost)
    {
        int policies = candidates.Max(candidate => candidate.PolicyIndex) + 1;
        Func<Candidate, bool> passes = procedure switch
        {
            RiskProcedure.FixedSequence => candidate => Above(candidate).All(other => value(other) <= limit / policies),
            RiskProcedure.FixedSequenceByCost => candidate => NotCheaper(candidate).All(other => value(other) <= limit),
            RiskProcedure.Bonferroni => candidate => value(candidate) <= limit / candidates.Length,
            RiskProcedure.Holm => candidate =>
                candidates.Where(other => value(other) <= value(candidate)).All(other => value(other) <= limit / Least(value(other))),
            RiskProcedure.ConformalRiskControl => candidate => Above(candidate).All(other => value(other) <= limit),
            _ => throw new ArgumentOutOfRangeException(nameof(procedure)),
        };
        return [.. candidates.Where(passes)];

        IEnumerable<Candidate> Above(Candidate candidate) =>
            candidates.Where(other => other.PolicyIndex == candidate.PolicyIndex && other.GridIndex <= candidate.GridIndex);

        // What costs the same comes in the order of the candidates.
        IEnumerable<Candidate> NotCheaper(Candidate candidate) => candidates.Where(
            (other, index) => cost(other) > cost(candidate) || (cost(other) == cost(candidate) && index <= Array.IndexOf(candidates, candidate)));

        int Least(double least) => candidates.Count(candidate => value(candidate) >= least);
    }
}
