using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>Floating-point operations of decoding, a row on average. The numbers are those of <see cref="OperationCounts"/>.</summary>
/// <param name="Decoder">Decoder blocks.</param>
/// <param name="StatePropagation">Keys and values filled after an exit.</param>
/// <param name="Confidence">Head products made for confidences.</param>
/// <param name="Head">Head products that chose a token.</param>
/// <param name="Paper">The published code's own count, no part of the others' sum.</param>
public readonly record struct MeanOperationCounts(double Decoder, double StatePropagation, double Confidence, double Head, double Paper)
{
    /// <summary>All operations: the sum of <see cref="Decoder"/>, <see cref="StatePropagation"/>, <see cref="Confidence"/> and <see cref="Head"/>.</summary>
    public double Total => Decoder + StatePropagation + Confidence + Head;

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
