namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>One meaning representation of the E2E NLG challenge and all of its references.</summary>
internal sealed record E2EMeaning(string MeaningRepresentation, string[] References);
