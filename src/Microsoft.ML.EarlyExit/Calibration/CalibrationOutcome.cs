using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What was generated for one prompt, with early exit and without.</summary>
public readonly record struct CalibrationOutcome
{
    /// <summary>What was generated for one prompt.</summary>
    /// <param name="earlyText">The text with early exit.</param>
    /// <param name="fullText">The full model's text.</param>
    /// <param name="references">The prompt's references or answers; none where the data has none.</param>
    public CalibrationOutcome(string earlyText, string fullText, IReadOnlyList<string> references)
    {
        EarlyText = earlyText;
        FullText = fullText;
        References = references;
    }

    /// <summary>The text with early exit.</summary>
    public string EarlyText { get; }

    /// <summary>The full model's text.</summary>
    public string FullText { get; }

    /// <summary>The prompt's references or answers; none where the data has none.</summary>
    public IReadOnlyList<string> References { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
