using Microsoft.ML.Data;

namespace Samples;

/// <summary>What is shown of a row and its scores.</summary>
internal sealed class RowScores
{
    public string Text { get; set; } = "";

    public string FullDepth { get; set; } = "";

    /// <summary>Precision, recall and F-measure.</summary>
    [VectorType(3)]
    public double[] RougeL { get; set; } = [];

    public double AgreementRougeL { get; set; }
}
