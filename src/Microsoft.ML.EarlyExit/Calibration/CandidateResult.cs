namespace Microsoft.ML.EarlyExit;

/// <summary>What one candidate did on all prompts.</summary>
/// <param name="Losses">Each prompt's loss, in [0, 1], in the prompts' order.</param>
/// <param name="MeanExitLayer">The mean exit layer of all tokens; NaN without tokens.</param>
/// <param name="Operations">Floating-point operations, a prompt on average.</param>
internal sealed record CandidateResult(double[] Losses, double MeanExitLayer, MeanOperationCounts Operations);
