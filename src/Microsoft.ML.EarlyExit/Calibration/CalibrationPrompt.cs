using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>A prompt to calibrate on.</summary>
/// <param name="Row">Its row in the data, from 0.</param>
/// <param name="Input">Its encoder ids.</param>
/// <param name="References">Its references; none where the loss needs none.</param>
internal sealed record CalibrationPrompt(int Row, PreparedInput Input, string[] References);
