namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>A row to evaluate.</summary>
internal sealed class EvaluationRow
{
    public string? Prediction { get; set; } = "";

    public string? Reference { get; set; } = "";

    public string?[] References { get; set; } = [];

    public string? Full { get; set; } = "";

    public int[] Layers { get; set; } = [];

    public string StopReason { get; set; } = nameof(EarlyExit.StopReason.EndOfSequence);
}
