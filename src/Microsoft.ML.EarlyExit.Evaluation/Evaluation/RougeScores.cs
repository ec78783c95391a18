namespace Microsoft.ML.EarlyExit;

/// <summary>All ROUGE types of a prediction.</summary>
/// <param name="Rouge1">Shared words.</param>
/// <param name="Rouge2">Shared pairs of neighbouring words; all 0 where a text has fewer than two words.</param>
/// <param name="RougeL">The longest common subsequence of words, over the whole texts.</param>
/// <param name="RougeLsum">
/// For each line of the reference, the union of its longest common subsequences with the prediction's lines. Lines are what "\n" separates, or sentences where they are
/// split; on texts of one line it is <paramref name="RougeL"/>.
/// </param>
public readonly record struct RougeScores(RougeScore Rouge1, RougeScore Rouge2, RougeScore RougeL, RougeScore RougeLsum)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
