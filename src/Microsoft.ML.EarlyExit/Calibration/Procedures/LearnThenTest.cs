using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary>Which candidates pass by their p-values (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv 2110.01052), by each <see cref="RiskProcedure"/> that
/// has some.</summary>
internal static class LearnThenTest
{
    /// <summary>
    /// The level that the procedure compares a lone p-value with: ε/P for one sequence each, ε for one over all, else ε divided by the number of candidates.
    /// </summary>
    /// <param name="procedure">The procedure.</param>
    /// <param name="candidates">All candidates of all policies.</param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    public static double Level(RiskProcedure procedure, IReadOnlyList<Candidate> candidates, double epsilon)
    {
        Check(candidates, epsilon);
        return procedure switch
        {
            RiskProcedure.FixedSequence => FixedSequence.Level(candidates, epsilon),
            RiskProcedure.FixedSequenceByCost => epsilon,
            RiskProcedure.Bonferroni or RiskProcedure.Holm => Bonferroni.Level(candidates, epsilon),
            _ => throw Unknown(procedure),
        };
    }

    /// <summary>Asks for p-values, each of which may cost a run over all prompts, and so for none that cannot decide anything; and says which candidates
    /// pass.</summary>
    /// <param name="procedure">The procedure.</param>
    /// <param name="candidates">All candidates of all policies: policy by policy, each from its highest threshold down.</param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    /// <param name="heldOutCostOf">A candidate's expected cost, from rows that are not among the calibration's; only
    /// <see cref="RiskProcedure.FixedSequenceByCost"/> asks.</param>
    /// <param name="pValueOf">A candidate's p-value, in [0, 1]; called once for each that is tested.</param>
    /// <returns>The candidates that were tested, in the order of testing.</returns>
    /// <exception cref="ArgumentException">There is no candidate; or a p-value is outside [0, 1], or a cost NaN, and the message names the
    /// candidate.</exception>
    /// <exception cref="ArgumentOutOfRangeException">ε is not in (0, 1), or the procedure is not one that tests.</exception>
    public static Verdict[] Walk(
        RiskProcedure procedure, IReadOnlyList<Candidate> candidates, double epsilon, Func<Candidate, double> heldOutCostOf, Func<Candidate, double> pValueOf)
    {
        Check(candidates, epsilon);
        return procedure switch
        {
            RiskProcedure.FixedSequence => FixedSequence.Walk(candidates, epsilon, pValueOf),
            RiskProcedure.FixedSequenceByCost => FixedSequenceByCost.Walk(candidates, epsilon, heldOutCostOf, pValueOf),
            RiskProcedure.Bonferroni => Bonferroni.Walk(candidates, epsilon, pValueOf),
            RiskProcedure.Holm => Holm.Walk(candidates, epsilon, pValueOf),
            _ => throw Unknown(procedure),
        };
    }

    private static void Check(IReadOnlyList<Candidate> candidates, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        if (candidates.Count == 0)
            throw new ArgumentException("There is no candidate.", nameof(candidates));
    }

    private static ArgumentOutOfRangeException Unknown(RiskProcedure procedure) => new(nameof(procedure), procedure, "This is no RiskProcedure with p-values.");
}
