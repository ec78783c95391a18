namespace Microsoft.ML.EarlyExit;

/// <summary>How many candidates are tested together without the tests' errors adding up.</summary>
public enum CalibrationProcedure
{
    /// <summary>
    /// Fixed-sequence testing: for each policy the thresholds from the highest down, each at ε / P for P policies, until one fails; the last that passed is certified. Of
    /// the policies' certified thresholds the one of the lowest mean exit layer is chosen. The cheapest: nothing is generated beyond the first failure.
    /// </summary>
    FixedSequence,

    /// <summary>Bonferroni: every candidate at ε divided by their number; of those that pass the one of the lowest mean exit layer is chosen. All are generated.</summary>
    Bonferroni,

    /// <summary>
    /// Learn then Test with a learned order: on a part of the prompts, held out for that, all candidates are generated and ordered by their mean loss; on the others they are
    /// tested in this order at ε until one fails, and of those that passed the one of the lowest mean exit layer on the held-out part is chosen.
    /// </summary>
    LearnedOrder,

    /// <summary>
    /// Conformal risk control (Angelopoulos et al., 2024), for one policy: the lowest threshold such that it and all above have <c>n / (n + 1) · mean + 1 / (n + 1) ≤ δ</c>.
    /// What is promised is weaker: the expected loss of a new prompt is at most δ on average over calibration data, too, with a loss that does not fall as the threshold
    /// does. ε has no part in it, and there are no p-values.
    /// </summary>
    ConformalRiskControl,
}
