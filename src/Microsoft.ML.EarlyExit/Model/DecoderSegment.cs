namespace Microsoft.ML.EarlyExit.Model;

/// <summary>Decoder blocks that always run together, counted from 1.</summary>
internal readonly record struct DecoderSegment(int FirstLayer, int LastLayer);
