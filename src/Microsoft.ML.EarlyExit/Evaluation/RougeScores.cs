namespace Microsoft.ML.EarlyExit;

/// <summary>All ROUGE types of a prediction.</summary>
public readonly record struct RougeScores(RougeScore Rouge1, RougeScore Rouge2, RougeScore RougeL, RougeScore RougeLsum);
