namespace Microsoft.ML.EarlyExit;

/// <summary>What was generated for one prompt, with early exit and without.</summary>
/// <param name="EarlyText">The text with early exit.</param>
/// <param name="FullText">The full model's text.</param>
/// <param name="References">The prompt's references or answers; none where the data has none.</param>
public readonly record struct CalibrationOutcome(string EarlyText, string FullText, IReadOnlyList<string> References)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
