namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Boxes side by side, such as the ranks of a token by layer.</summary>
/// <param name="Name">Its files' name.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Axis">What the boxes stand at, e.g. "decoder layer".</param>
/// <param name="ValueAxis">What the values are, e.g. "rank of the final token".</param>
/// <param name="Series">The boxes of each series, e.g. of each model; one panel each.</param>
/// <param name="IsLogarithmic">Whether the axis of values is logarithmic, of 1 + value.</param>
internal sealed record BoxPlotFigure(
    string Name, string Title, string Axis, string ValueAxis, IReadOnlyList<BoxPlotFigure.Boxes> Series, bool IsLogarithmic = false) : Figure(Name, Title)
{
    /// <summary>One series.</summary>
    internal sealed record Boxes(string Name, IReadOnlyList<Box> Items);

    /// <summary>One box: the whiskers at the 5th and 95th hundredth, the box at the quartiles.</summary>
    internal sealed record Box(double Position, long Count, double Lowest, double Whisker5, double Quartile1, double Median, double Quartile3, double Whisker95, double Highest);
}
