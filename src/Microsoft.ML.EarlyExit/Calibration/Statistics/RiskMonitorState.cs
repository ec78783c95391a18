namespace Microsoft.ML.EarlyExit;

/// <summary>What a <see cref="RiskMonitor"/> has seen so far.</summary>
/// <param name="Count">The number of losses.</param>
/// <param name="MeanLoss">Their mean; NaN before the first. It plays no part in the test.</param>
/// <param name="EValue">
/// The capital won by betting against the hypothesis, 1 at the start; infinite where it exceeds a double. 20 is evidence against the hypothesis as a p-value of
/// 0.05 would be, but it may be looked at after every loss.
/// </param>
/// <param name="PValue">1 over the largest <paramref name="EValue"/> so far, at most 1. It never rises.</param>
/// <param name="HasDrifted">Whether <paramref name="PValue"/> is α or less. Once true, it stays.</param>
public readonly record struct RiskMonitorState(long Count, double MeanLoss, double EValue, double PValue, bool HasDrifted)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
