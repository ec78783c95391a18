namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>The thresholds that a calibration tries, from the safest down.</summary>
internal static class ThresholdGrid
{
    /// <summary>1.00, 0.98, …, 0.50, then 0.45, 0.40, …, 0.05.</summary>
    public static IReadOnlyList<float> Default { get; } =
    [
        .. Enumerable.Range(0, 26).Select(step => (100 - (2 * step)) / 100f),
        .. Enumerable.Range(1, 9).Select(step => (50 - (5 * step)) / 100f),
    ];

    /// <summary>Checks that a grid has thresholds, each in [0, 1] and below the one before.</summary>
    /// <exception cref="ArgumentException">It has not; the message names the index.</exception>
    public static void Check(ReadOnlySpan<float> grid, string? name = "grid")
    {
        if (grid.IsEmpty)
            throw new ArgumentException("The grid has no thresholds.", name);
        for (int index = 0; index < grid.Length; index++)
        {
            if (!(grid[index] >= 0 && grid[index] <= 1))
                throw new ArgumentException($"The threshold at index {index} of the grid is {grid[index]:R}; thresholds must be within [0, 1].", name);
            if (index > 0 && !(grid[index] < grid[index - 1]))
            {
                throw new ArgumentException(
                    $"The threshold at index {index} of the grid is {grid[index]:R}, which is not below {grid[index - 1]:R} before it; "
                    + "the grid must decrease, in float32.",
                    name);
            }
        }
    }
}
