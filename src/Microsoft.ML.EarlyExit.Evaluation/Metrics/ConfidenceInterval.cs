using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>An interval of a metric.</summary>
public readonly record struct ConfidenceInterval
{
    internal ConfidenceInterval(double lower, double upper)
    {
        Lower = lower;
        Upper = upper;
    }

    /// <summary>Its lower end, in the metric's unit; NaN where no bootstrap sample had a value.</summary>
    public double Lower { get; }

    /// <summary>Its upper end.</summary>
    public double Upper { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
