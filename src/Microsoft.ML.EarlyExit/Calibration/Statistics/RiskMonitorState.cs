using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What a <see cref="RiskMonitor"/> has seen so far.</summary>
public readonly record struct RiskMonitorState
{
    internal RiskMonitorState(long count, double meanLoss, double eValue, double pValue, bool hasDrifted)
    {
        Count = count;
        MeanLoss = meanLoss;
        EValue = eValue;
        PValue = pValue;
        HasDrifted = hasDrifted;
    }

    /// <summary>The number of losses.</summary>
    public long Count { get; }

    /// <summary>Their mean; NaN before the first. It plays no part in the test.</summary>
    public double MeanLoss { get; }

    /// <summary>
    /// The capital won by betting against the hypothesis, 1 at the start; infinite where it exceeds a double. 20 is evidence against the hypothesis as a
    /// p-value of 0.05 would be, but it may be looked at after every loss.
    /// </summary>
    public double EValue { get; }

    /// <summary>1 over the largest <see cref="EValue"/> so far, at most 1. It never rises.</summary>
    public double PValue { get; }

    /// <summary>Whether <see cref="PValue"/> is α or less. Once true, it stays.</summary>
    public bool HasDrifted { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
