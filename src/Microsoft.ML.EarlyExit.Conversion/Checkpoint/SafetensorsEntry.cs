namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>One tensor of a safetensors header; its bytes are [<paramref name="Begin"/>, <paramref name="End"/>) of the data behind the header.</summary>
internal sealed record SafetensorsEntry(string Name, CheckpointDataType DataType, int[] Shape, long ElementCount, long Begin, long End);
