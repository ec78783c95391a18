namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>A line that was typed.</summary>
/// <param name="Text">What it holds; of an interrupted one what had been typed.</param>
/// <param name="End">What ended it.</param>
internal readonly record struct TypedLine(string Text, LineEnd End);
