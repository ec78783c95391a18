namespace Microsoft.ML.EarlyExit;

/// <summary>How far texts agree with those of the full model: means over rows, in [0, 1].</summary>
/// <param name="Exact">The share of rows whose texts are equal, character by character.</param>
/// <param name="RougeL">ROUGE-L's F-measure, the full model's text being the reference.</param>
/// <param name="F1">SQuAD's F1, the full model's text being the answer.</param>
public readonly record struct TextAgreement(double Exact, double RougeL, double F1)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
