namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>What a candidate generated for one prompt, as far as a calibration needs it.</summary>
/// <param name="Text">The text.</param>
/// <param name="Tokens">Generated tokens.</param>
/// <param name="Layers">The sum of their exit layers.</param>
/// <param name="Operations">Floating-point operations.</param>
/// <param name="HighestStaying">The highest confidence of a token that did not exit: at any threshold from it on, up to the one generated with, the output is
/// the same. Negative infinity where none had to.</param>
internal readonly record struct CandidateOutput(string Text, int Tokens, long Layers, OperationCounts Operations, float HighestStaying);
