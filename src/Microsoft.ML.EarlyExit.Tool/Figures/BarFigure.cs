namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Grouped bars in one or more panels, such as quality and operations of each pruning for each model.</summary>
/// <param name="Name">Its files' name.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Groups">Where bars stand together, e.g. the models.</param>
/// <param name="Series">What is compared in every group, e.g. the prunings.</param>
/// <param name="Panels">The panels, one above the other.</param>
internal sealed record BarFigure(string Name, string Title, IReadOnlyList<string> Groups, IReadOnlyList<string> Series, IReadOnlyList<BarFigure.Panel> Panels)
    : Figure(Name, Title)
{
    /// <summary>One panel.</summary>
    /// <param name="ValueAxis">What the bars' heights are.</param>
    /// <param name="Values">The heights, [series][group]; NaN where there is none.</param>
    /// <param name="IsLogarithmic">Whether the axis of values is logarithmic.</param>
    internal sealed record Panel(string ValueAxis, IReadOnlyList<IReadOnlyList<double>> Values, bool IsLogarithmic = false);
}
