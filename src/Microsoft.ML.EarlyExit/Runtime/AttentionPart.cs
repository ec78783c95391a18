namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Consecutive tokens of one row.</summary>
/// <param name="FirstToken">The first one's place among the packed tokens.</param>
/// <param name="Count">How many they are.</param>
/// <param name="Slot">The row's slot of the caches.</param>
/// <param name="Position">The first one's position in its row; the caches have those before it.</param>
/// <param name="EncoderLength">Encoder positions of the row.</param>
internal readonly record struct AttentionPart(int FirstToken, int Count, int Slot, int Position, int EncoderLength);
