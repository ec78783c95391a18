using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>One policy with one threshold, and what calibration found about it.</summary>
public sealed record CalibrationCandidate
{
    internal CalibrationCandidate(
        int policyIndex, float lambda, double meanLoss, double pValue, double meanExitLayer, MeanOperationCounts operations, bool passed)
    {
        PolicyIndex = policyIndex;
        Lambda = lambda;
        MeanLoss = meanLoss;
        PValue = pValue;
        MeanExitLayer = meanExitLayer;
        Operations = operations;
        Passed = passed;
    }

    /// <summary>The policy: its index in <see cref="CalibrationCertificate.Policies"/>, from 0.</summary>
    public int PolicyIndex { get; }

    /// <summary>The threshold, λ.</summary>
    public float Lambda { get; }

    /// <summary>The mean loss of the prompts, in [0, 1].</summary>
    public double MeanLoss { get; }

    /// <summary>The p-value of the hypothesis that the expected loss exceeds δ; NaN where no hypothesis is tested.</summary>
    public double PValue { get; }

    /// <summary>The mean exit layer of the generated tokens.</summary>
    public double MeanExitLayer { get; }

    /// <summary>Floating-point operations of decoding, a prompt on average.</summary>
    public MeanOperationCounts Operations { get; }

    /// <summary>Whether the procedure certifies it.</summary>
    public bool Passed { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
