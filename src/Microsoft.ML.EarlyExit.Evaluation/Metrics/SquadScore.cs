using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>SQuAD's two scores of a prediction, each the best over the answers on its own.</summary>
public readonly record struct SquadScore
{
    internal SquadScore(double exactMatch, double f1)
    {
        ExactMatch = exactMatch;
        F1 = f1;
    }

    /// <summary>1 where an answer equals the prediction after normalising, else 0.</summary>
    public double ExactMatch { get; }

    /// <summary>The harmonic mean of precision and recall of their words, in [0, 1]. Where nothing is left of both, 0, though they match exactly.</summary>
    public double F1 { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
