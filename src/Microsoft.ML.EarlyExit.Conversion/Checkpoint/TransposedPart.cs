namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>Rows of a tensor that become columns, from <paramref name="Column"/> on, of a transposed matrix.</summary>
internal readonly record struct TransposedPart(CheckpointTensor Tensor, int FirstRow, int RowCount, int Column);
