namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Reads the weights of one output of a matrix; called from several threads at once.</summary>
/// <param name="row">The output.</param>
/// <param name="destination">Takes its weights.</param>
internal delegate void MatrixRowReader(int row, Span<float> destination);
