namespace Microsoft.ML.EarlyExit;

/// <summary>
/// How p-values of several thresholds, of one policy or several, are turned into a set of thresholds that passed (Learn then Test, Angelopoulos et al., arXiv
/// 2110.01052).
/// </summary>
/// <remarks>
/// <para>
/// Each procedure but <see cref="ConformalRiskControl"/> promises: with probability at least 1 - ε over the draw of the calibration rows, <b>every</b>
/// threshold that passed has a mean loss of at most δ. So any of them may be used, and chosen by any look at the calibration rows. The assumptions are those of
/// the p-values (see <see cref="RiskTest"/>), and that policies, grids, δ, ε and the procedure were fixed before the losses were seen. The losses of different
/// thresholds may depend on each other in any way, and need not grow as the threshold falls.
/// </para>
/// <para>It may be that nothing passes. Then the promise is empty, and the policy to use is one that never exits.</para>
/// </remarks>
public enum RiskProcedure
{
    /// <summary>
    /// One sequence for each of P policies, at ε/P: thresholds are tested from the highest down, and all before the first p-value above ε/P passed. With one
    /// policy this costs nothing for the length of the grid.
    /// </summary>
    FixedSequence,

    /// <summary>
    /// One sequence over all thresholds of all policies, at ε, from the most to the least expensive. The costs must come from other rows than the calibration's
    /// (a held-out split). ε is not shared out, but the first threshold of any policy that does not pass ends it for all: it gains where what costs more loses
    /// less, across the policies.
    /// </summary>
    FixedSequenceByCost,

    /// <summary>Every threshold at ε divided by the number of all thresholds of all policies. No order is needed; weak on long grids.</summary>
    Bonferroni,

    /// <summary>
    /// Bonferroni's correction, lessened by what passed already (Holm 1979): the smallest p-value at ε/m, the next at ε/(m - 1), and so on until one does not
    /// pass. Everything that passes <see cref="Bonferroni"/> passes here.
    /// </summary>
    Holm,

    /// <summary>
    /// No test but conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, arXiv 2208.02814), for one policy: the lowest threshold such that it
    /// and all above have <c>n / (n + 1) · mean + 1 / (n + 1) ≤ δ</c>. What it promises is another thing, and less: the expected loss of a new prompt is at
    /// most δ on average over the draw of the calibration prompts, too, if no prompt's loss falls as the threshold does, which text generation keeps only
    /// roughly. ε has no part in it, and there are no p-values.
    /// </summary>
    ConformalRiskControl,
}
