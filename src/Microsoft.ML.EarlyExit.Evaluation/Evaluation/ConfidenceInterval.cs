namespace Microsoft.ML.EarlyExit;

/// <summary>An interval of a metric.</summary>
/// <param name="Lower">Its lower end, in the metric's unit; NaN where no bootstrap sample had a value.</param>
/// <param name="Upper">Its upper end.</param>
public readonly record struct ConfidenceInterval(double Lower, double Upper)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
