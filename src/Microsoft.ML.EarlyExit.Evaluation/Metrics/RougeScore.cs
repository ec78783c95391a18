using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How much of a text another one shares, by one ROUGE type.</summary>
public readonly record struct RougeScore
{
    internal RougeScore(double precision, double recall, double fMeasure)
    {
        Precision = precision;
        Recall = recall;
        FMeasure = fMeasure;
    }

    /// <summary>The share of the prediction's units that the reference has, in [0, 1].</summary>
    public double Precision { get; }

    /// <summary>The share of the reference's units that the prediction has, in [0, 1].</summary>
    public double Recall { get; }

    /// <summary>The harmonic mean of both, in [0, 1]; 0 where both are 0. Of averaged scores, the mean of the F-measures.</summary>
    public double FMeasure { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
