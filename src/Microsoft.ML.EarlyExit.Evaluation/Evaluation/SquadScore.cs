namespace Microsoft.ML.EarlyExit;

/// <summary>SQuAD's two scores of a prediction, each the best over the answers on its own.</summary>
/// <param name="ExactMatch">1 where an answer equals the prediction after normalising, else 0.</param>
/// <param name="F1">The harmonic mean of precision and recall of their words, in [0, 1]. Where nothing is left of both, 0, though they match exactly.</param>
public readonly record struct SquadScore(double ExactMatch, double F1)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
