namespace Microsoft.ML.EarlyExit.Evaluation.Numerics;

/// <summary>What is read off sorted numbers.</summary>
internal static class SortedNumbers
{
    /// <summary>A quantile, linear between two numbers; NaN where there is none.</summary>
    /// <param name="sorted">The numbers, the smallest first.</param>
    /// <param name="share">The share of numbers below, 0 to 1.</param>
    public static double Quantile(IReadOnlyList<double> sorted, double share)
    {
        if (sorted.Count == 0)
            return double.NaN;
        double position = share * (sorted.Count - 1);
        int below = (int)position;
        return below + 1 < sorted.Count ? sorted[below] + ((position - below) * (sorted[below + 1] - sorted[below])) : sorted[below];
    }
}
