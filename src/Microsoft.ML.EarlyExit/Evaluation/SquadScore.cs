namespace Microsoft.ML.EarlyExit;

/// <summary>SQuAD's two scores of a prediction, each the best over the answers on its own.</summary>
/// <param name="ExactMatch">1 where an answer equals the prediction after normalising, else 0.</param>
/// <param name="F1">The F1 of their tokens, in [0, 1].</param>
public readonly record struct SquadScore(double ExactMatch, double F1);
