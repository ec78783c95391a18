namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>One cell of the protocol: one model with one policy on the whole sample.</summary>
/// <param name="Model">The model's name in the report.</param>
/// <param name="Kind">What is done.</param>
/// <param name="Name">The cell's name, one of its model's; part of a file name.</param>
/// <param name="Title">The cell in words.</param>
/// <param name="Policy">The policy; null for full depth.</param>
/// <param name="Weight">What it is expected to cost, in a unit that cells of all models share.</param>
internal sealed record PlannedCell(string Model, CellKind Kind, string Name, string Title, ExitPolicy? Policy, double Weight);
