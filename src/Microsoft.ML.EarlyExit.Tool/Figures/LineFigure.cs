namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Lines over one axis, in one or more panels, such as mean exit and quality by minimum exit layer.</summary>
/// <param name="Name">Its files' name.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Axis">What the points stand at, e.g. "minimum exit layer".</param>
/// <param name="Panels">The panels, side by side.</param>
internal sealed record LineFigure(string Name, string Title, string Axis, IReadOnlyList<LineFigure.Panel> Panels) : Figure(Name, Title)
{
    /// <summary>One panel.</summary>
    internal sealed record Panel(string ValueAxis, IReadOnlyList<Line> Lines);

    /// <summary>One line, with a marker at each point; without points it is left out.</summary>
    internal sealed record Line(string Name, IReadOnlyList<(double X, double Y)> Points);
}
