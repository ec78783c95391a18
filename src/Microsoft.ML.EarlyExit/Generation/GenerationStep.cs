namespace Microsoft.ML.EarlyExit;

/// <summary>How one token came about.</summary>
/// <param name="TokenId">The id that was chosen.</param>
/// <param name="ExitLayer">Decoder blocks that ran for it, 1 to L.</param>
/// <param name="Evaluations">The confidences computed for it, shallow to deep.</param>
/// <param name="Operations">Floating-point operations done for it.</param>
public sealed record GenerationStep(int TokenId, int ExitLayer, IReadOnlyList<ConfidenceEvaluation> Evaluations, OperationCounts Operations)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
