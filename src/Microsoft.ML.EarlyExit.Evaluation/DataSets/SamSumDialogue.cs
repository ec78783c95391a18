namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>One dialogue of SamSum.</summary>
internal sealed record SamSumDialogue(string Id, string Dialogue, string Summary);
