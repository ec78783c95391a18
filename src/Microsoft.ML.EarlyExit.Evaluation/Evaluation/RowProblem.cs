namespace Microsoft.ML.EarlyExit;

/// <summary>Why a row cannot be evaluated.</summary>
internal enum RowProblem
{
    None,
    MissingPrediction,
    MissingReference,
    Failed,
}
