using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>All ROUGE types of a prediction.</summary>
public readonly record struct RougeScores
{
    internal RougeScores(RougeScore rouge1, RougeScore rouge2, RougeScore rougeL, RougeScore rougeLsum)
    {
        Rouge1 = rouge1;
        Rouge2 = rouge2;
        RougeL = rougeL;
        RougeLsum = rougeLsum;
    }

    /// <summary>Shared words.</summary>
    public RougeScore Rouge1 { get; }

    /// <summary>Shared pairs of neighbouring words; all 0 where a text has fewer than two words.</summary>
    public RougeScore Rouge2 { get; }

    /// <summary>The longest common subsequence of words, over the whole texts.</summary>
    public RougeScore RougeL { get; }

    /// <summary>For each line of the reference, the union of its longest common subsequences with the prediction's lines. Lines are what "\n" separates, or
    /// sentences where they are split; on texts of one line it is <see cref="RougeL"/>.</summary>
    public RougeScore RougeLsum { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
