namespace Microsoft.ML.EarlyExit;

/// <summary>One policy with one threshold, and what calibration found about it.</summary>
public sealed record CalibrationCandidate
{
    /// <summary>The policy: its place among <see cref="CalibrationCertificate.Policies"/>, from 0.</summary>
    public required int PolicyIndex { get; init; }

    /// <summary>The threshold, λ.</summary>
    public required float Lambda { get; init; }

    /// <summary>The mean loss of the prompts, in [0, 1].</summary>
    public required double MeanLoss { get; init; }

    /// <summary>The p-value of the hypothesis that the expected loss exceeds δ; NaN where no hypothesis is tested.</summary>
    public required double PValue { get; init; }

    /// <summary>The mean exit layer of the generated tokens.</summary>
    public required double MeanExitLayer { get; init; }

    /// <summary>Floating-point operations of decoding, a prompt on average.</summary>
    public required MeanOperationCounts Operations { get; init; }

    /// <summary>Whether the procedure certifies it.</summary>
    public required bool Passed { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
