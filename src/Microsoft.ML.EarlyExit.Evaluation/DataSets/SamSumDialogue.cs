namespace Microsoft.ML.EarlyExit;

/// <summary>One dialogue of SamSum.</summary>
internal sealed record SamSumDialogue(string Id, string Dialogue, string Summary);
