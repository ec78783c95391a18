namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Mean floating-point operations; see <see cref="OperationCounts"/> for what each counts.</summary>
internal sealed record OperationSummary(double Decoder, double StatePropagation, double Confidence, double Head, double Total, double Paper)
{
    /// <summary>The mean over rows.</summary>
    public static OperationSummary Mean(OperationCounts sum, int rows)
    {
        double count = rows;
        return new OperationSummary(
            sum.Decoder / count, sum.StatePropagation / count, sum.Confidence / count, sum.Head / count, sum.Total / count, sum.Paper / count);
    }
}
