using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>One cell.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Policy">Its policy, as a policy file has it; null for full depth.</param>
internal sealed record CellSettings(string Name, JsonElement? Policy);
