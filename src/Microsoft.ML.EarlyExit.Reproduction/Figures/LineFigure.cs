using System.Text.Json;
using ScottPlot;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>Lines over one axis, in one or more panels, such as mean exit and quality by minimum exit layer.</summary>
/// <param name="Name">Its files' name.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Axis">What the points stand at, e.g. "minimum exit layer".</param>
/// <param name="Panels">The panels, side by side. Lines of one name look the same in all of them.</param>
internal sealed record LineFigure(string Name, string Title, string Axis, IReadOnlyList<LineFigure.Panel> Panels) : Figure(Name, Title)
{
    public const string Kind = "lines";

    public static readonly string[] Columns = ["panel", "valueAxis", "series", "x", "y"];

    private const int MostColumns = 3;

    protected override void Check()
    {
        foreach (Panel panel in Panels)
            CheckUnique(panel.Lines.Select(line => line.Name), $"line of '{panel.ValueAxis}'");
    }

    protected override IEnumerable<IReadOnlyList<string>> Rows()
    {
        yield return Columns;
        for (int panel = 0; panel < Panels.Count; panel++)
        {
            foreach (Line line in Panels[panel].Lines)
            {
                foreach ((double x, double y) in line.Points)
                    yield return [FigureNumbers.ToCsv(panel + 1L), Panels[panel].ValueAxis, line.Name, FigureNumbers.ToCsv(x), FigureNumbers.ToCsv(y)];
            }
        }
    }

    protected override void Describe(Utf8JsonWriter json)
    {
        json.WriteString("kind", Kind);
        json.WriteString("title", Title);
        json.WriteString("axis", Axis);
        json.WriteStartArray("panels");
        foreach (Panel panel in Panels)
        {
            json.WriteStartObject();
            json.WriteString("valueAxis", panel.ValueAxis);
            if (panel.SmallestSpan > 0)
                json.WriteNumber("smallestSpan", panel.SmallestSpan);
            WriteStrings(json, "series", panel.Lines.Select(line => line.Name));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    protected override FigurePage CreatePage()
    {
        IReadOnlyList<Panel> shown = Panels.Count > 0 ? Panels : [new Panel("", [])];
        int columns = Math.Min(shown.Count == 4 ? 2 : shown.Count, MostColumns);
        string[] names =
            [.. shown.SelectMany(panel => panel.Lines).Where(line => line.Points.Any(IsDrawn)).Select(line => line.Name).Distinct(StringComparer.Ordinal)];
        (double X, double Y)[] all = [.. shown.SelectMany(panel => panel.Lines).SelectMany(line => line.Points).Where(IsDrawn)];
        FigurePanel[] panels = [.. shown.Select(panel => new FigurePanel("", Axis, panel.ValueAxis, FigurePage.PanelWidth(columns), columns == 1 ? 360 : 290))];
        for (int index = 0; index < panels.Length; index++)
        {
            (double X, double Y)[] points = [.. shown[index].Lines.SelectMany(line => line.Points).Where(IsDrawn)];
            if (points.Length == 0)
            {
                panels[index].Left = FigurePanel.LeftOf(panels[index].ValueLabelWidth, new AxisTicks(0, 1, []));
                panels[index].AddEmptyNote();
                continue;
            }

            double lowest = points.Min(point => point.Y);
            double highest = points.Max(point => point.Y);
            double missing = Math.Max(0, shown[index].SmallestSpan - (highest - lowest));
            AxisTicks values = AxisTicks.Linear(lowest - (missing / 2), highest + (missing / 2), 7, room: 0.06);
            panels[index].Left = FigurePanel.LeftOf(panels[index].ValueLabelWidth, values);
            panels[index].SetValueTicks(values);
            panels[index].SetTicks(AxisTicks.Positions([.. all.Select(point => point.X)], panels[index].DataWidth), hasGrid: true);

            // The first is drawn last, on top.
            foreach (Line line in shown[index].Lines.Reverse())
                AddLine(panels[index].Plot, line, FigureStyle.Of(Math.Max(0, Array.IndexOf(names, line.Name))));
        }

        return new FigurePage(Title, panels, columns, names, hasLines: true, "");
    }

    private static bool IsDrawn((double X, double Y) point) => FigureNumbers.IsDrawn(point.X) && FigureNumbers.IsDrawn(point.Y);

    /// <summary>Adds a line, with a gap where a value is missing.</summary>
    private static void AddLine(Plot plot, Line line, FigureStyle style)
    {
        var run = new List<Coordinates>();
        foreach ((double x, double y) in line.Points.Append((double.NaN, double.NaN)))
        {
            if (IsDrawn((x, y)))
            {
                run.Add(new Coordinates(x, y));
                continue;
            }

            if (run.Count > 0)
            {
                plot.Add.Plottable(new FigureLine(run, style));
                run = [];
            }
        }
    }

    /// <summary>One panel.</summary>
    /// <param name="ValueAxis">What the values are.</param>
    /// <param name="Lines">The lines.</param>
    /// <param name="SmallestSpan">What the axis of values covers at least, so that next to nothing does not look like much.</param>
    internal sealed record Panel(string ValueAxis, IReadOnlyList<Line> Lines, double SmallestSpan = 0);

    /// <summary>One line, with a marker at each point; without points it is left out.</summary>
    internal sealed record Line(string Name, IReadOnlyList<(double X, double Y)> Points);
}
