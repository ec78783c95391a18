namespace Microsoft.ML.EarlyExit;

/// <summary>How much of a text another one shares, by one ROUGE type.</summary>
/// <param name="Precision">The share of the prediction's units that the reference has, in [0, 1].</param>
/// <param name="Recall">The share of the reference's units that the prediction has, in [0, 1].</param>
/// <param name="FMeasure">The harmonic mean of both, in [0, 1]; 0 where both are 0. Of averaged scores, the mean of the F-measures.</param>
public readonly record struct RougeScore(double Precision, double Recall, double FMeasure)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
