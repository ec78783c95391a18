using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>A field of policies that holds what measures are given.</summary>
/// <param name="Field">Its name.</param>
/// <param name="Read">Reads the object in it.</param>
/// <param name="Default">The value that says nothing, and may stand beside every measure; null where there is none.</param>
internal sealed record ConfidenceParameters(string Field, Func<JsonFields, object> Read, object? Default = null);
