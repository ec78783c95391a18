namespace Microsoft.ML.EarlyExit;

/// <summary>How one token came about.</summary>
/// <param name="TokenId">The id that was chosen.</param>
/// <param name="ExitLayer">Decoder blocks that ran for it, 1 to L.</param>
/// <param name="Evaluations">The confidences computed for it, shallow to deep.</param>
/// <param name="Operations">Floating-point operations done for it.</param>
public sealed record GenerationStep(int TokenId, int ExitLayer, IReadOnlyList<ConfidenceEvaluation> Evaluations, OperationCounts Operations);
