using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>The scores of a row.</summary>
internal sealed class RowScoresOutput
{
    public string Reference { get; set; } = "";

    [VectorType(3)]
    public double[] Rouge1 { get; set; } = [];

    [VectorType(3)]
    public double[] RougeL { get; set; } = [];

    public double F1 { get; set; }

    public double AgreementExact { get; set; }

    public string EvaluationProblem { get; set; } = "";
}
