namespace Microsoft.ML.EarlyExit;

/// <summary>A prompt to calibrate on.</summary>
/// <param name="Input">Its encoder ids.</param>
/// <param name="References">Its references; none where the loss needs none.</param>
internal sealed record CalibrationPrompt(PreparedInput Input, string[] References);
