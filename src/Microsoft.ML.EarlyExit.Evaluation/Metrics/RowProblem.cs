namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Why a row cannot be evaluated.</summary>
internal enum RowProblem
{
    None,
    MissingPrediction,
    MissingReference,
    Failed,
}
