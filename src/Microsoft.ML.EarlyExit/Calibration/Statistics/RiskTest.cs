namespace Microsoft.ML.EarlyExit;

/// <summary>A test of the hypothesis that the mean loss of a threshold exceeds δ, on a sample of calibration rows.</summary>
/// <remarks>
/// <para>
/// Each test gives a p-value: if the mean loss over all rows that could come exceeds δ, the p-value is at most u with probability at most u, for every u, every
/// number of rows and every distribution of losses within [0, 1] that the test takes. The assumption is that the calibration rows are independent draws from
/// the same source as later rows (i.i.d.).
/// </para>
/// <para>
/// Nothing is promised about a single row, about a part of the rows (a topic, a language), or about rows from another source. <see cref="RiskMonitor"/> watches
/// for the last.
/// </para>
/// </remarks>
public enum RiskTest
{
    /// <summary>
    /// The smaller of Hoeffding's and Bentkus's bounds (Bates et al. 2021, arXiv 2101.02703): for any losses in [0, 1]. Depends on the sum of the losses only.
    /// </summary>
    HoeffdingBentkus,

    /// <summary>
    /// The exact binomial probability, for losses that are 0 or 1, such as exact match; its p-value never exceeds that of <see cref="HoeffdingBentkus"/>. Other
    /// losses are refused.
    /// </summary>
    Binomial,

    /// <summary>
    /// Betting against the hypothesis, row by row (Waudby-Smith and Ramdas 2024, arXiv 2010.09686): for any losses in [0, 1]. It adapts to their variance, and
    /// so passes more than <see cref="HoeffdingBentkus"/> where most losses are not near 0 or 1. It depends on the order of the rows, which must be random or
    /// as they came, never chosen by their losses.
    /// </summary>
    Wsr,
}
