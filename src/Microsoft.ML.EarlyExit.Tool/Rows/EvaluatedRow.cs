using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>One line to evaluate, or the reason why it is none.</summary>
/// <param name="LineNumber">Its line in the input file, from 1.</param>
/// <param name="Problem">What is wrong with it, as the totals count it.</param>
/// <param name="Error">The same in words, naming the line; null where nothing is wrong.</param>
internal sealed record EvaluatedRow(long LineNumber, RowProblem Problem = RowProblem.None, string? Error = null)
{
    /// <summary>The generated text; empty where none is judged.</summary>
    public string Prediction { get; init; } = "";

    /// <summary>The references or answers.</summary>
    public string[] References { get; init; } = [];

    public int[] ExitLayers { get; init; } = [];

    /// <summary>The operation counts; null where the row has none.</summary>
    public OperationCounts? Operations { get; init; }

    /// <summary>Why the generation ended; null where the row does not say.</summary>
    public string? StopReason { get; init; }
}
