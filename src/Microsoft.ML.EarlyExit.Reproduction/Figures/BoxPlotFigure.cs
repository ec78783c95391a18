using System.Text.Json;
using ScottPlot;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

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
    public const string Kind = "boxes";

    public static readonly string[] Columns = ["series", "position", "count", "lowest", "whisker5", "quartile1", "median", "quartile3", "whisker95", "highest"];

    protected override void Check() => CheckUnique(Series.Select(series => series.Name), "series");

    protected override IEnumerable<IReadOnlyList<string>> Rows()
    {
        yield return Columns;
        foreach (Boxes series in Series)
        {
            foreach (Box box in series.Items)
                yield return [series.Name, FigureNumbers.ToCsv(box.Position), FigureNumbers.ToCsv(box.Count), .. box.Values.Select(FigureNumbers.ToCsv)];
        }
    }

    protected override void Describe(Utf8JsonWriter json)
    {
        json.WriteString("kind", Kind);
        json.WriteString("title", Title);
        json.WriteString("axis", Axis);
        json.WriteString("valueAxis", ValueAxis);
        json.WriteBoolean("isLogarithmic", IsLogarithmic);
        WriteStrings(json, "series", Series.Select(series => series.Name));
    }

    protected override FigurePage CreatePage()
    {
        int columns = Math.Clamp(Series.Count, 1, 2);
        string valueAxis = IsLogarithmic ? $"1 + {ValueAxis}" : ValueAxis;
        FigurePanel[] panels =
        [
            .. Series.DefaultIfEmpty(new Boxes("", [])).Select(series =>
                new FigurePanel(series.Name, Axis, valueAxis, FigurePage.PanelWidth(columns), columns == 1 ? 330 : 280)),
        ];
        double[] values =
            [.. Series.SelectMany(series => series.Items).Where(IsDrawn).SelectMany(box => box.Values).Where(FigureNumbers.IsDrawn).Select(Place)];
        AxisTicks ticks = values.Length == 0
            ? new AxisTicks(0, 1, [])
            : IsLogarithmic ? AxisTicks.Logarithmic(0, values.Max(), 8) with { Max = Math.Max(1, values.Max()) }
            : AxisTicks.Linear(values.Min(), values.Max(), 8, room: 0.04);

        // A rank of 0 lies on the axis; its box must still be seen.
        double room = (ticks.Max - ticks.Min) * 0.025;
        for (int index = 0; index < panels.Length; index++)
        {
            FigurePanel panel = panels[index];
            Box[] boxes = index < Series.Count ? [.. Series[index].Items.Where(IsDrawn)] : [];
            panel.Left = FigurePanel.LeftOf(panels.Max(other => other.ValueLabelWidth), ticks);
            if (boxes.Length == 0)
            {
                panel.AddEmptyNote();
                continue;
            }

            panel.SetValueTicks(ticks with { Min = ticks.Min - room, Max = ticks.Max + room });
            panel.SetTicks(AxisTicks.Positions([.. boxes.Select(box => box.Position)], panel.DataWidth), hasGrid: false);
            AddBoxes(panel.Plot, boxes);
        }

        return new FigurePage(
            Title, panels, columns, [], hasLines: false, "Box: quartiles and median; whiskers: 5th and 95th percentile; dots: lowest and highest.");
    }

    private static bool IsDrawn(Box box) =>
        box.Count > 0 && FigureNumbers.IsDrawn(box.Position)
        && FigureNumbers.IsDrawn(box.Quartile1) && FigureNumbers.IsDrawn(box.Median) && FigureNumbers.IsDrawn(box.Quartile3);

    private double Place(double value) => IsLogarithmic ? Math.Log10(1 + Math.Max(0, value)) : value;

    private void AddBoxes(Plot plot, Box[] boxes)
    {
        double[] positions = [.. boxes.Select(box => box.Position).Order()];
        double gap = positions.Zip(positions.Skip(1), (one, next) => next - one).Where(gap => gap > 0).DefaultIfEmpty(1).Min();
        double width = gap * (boxes.Length == 1 ? 0.3 : 0.66);
        ScottPlot.Plottables.BoxPlot added = plot.Add.Boxes(
        [
            .. boxes.Select(box => new ScottPlot.Box
            {
                Position = box.Position,
                BoxMin = Place(box.Quartile1),
                BoxMax = Place(box.Quartile3),
                WhiskerMin = FigureNumbers.IsDrawn(box.Whisker5) ? Place(box.Whisker5) : null,
                WhiskerMax = FigureNumbers.IsDrawn(box.Whisker95) ? Place(box.Whisker95) : null,
                Width = width,
                LineColor = FigureStyle.Ink,
                LineWidth = 1,
            }),
        ]);
        foreach (ScottPlot.Box box in added.Boxes)
            box.FillColor = FigureStyle.PaleBlue;
        foreach (Box box in boxes)
        {
            foreach ((double extreme, double whisker) in ((double, double)[])[(box.Lowest, box.Whisker5), (box.Highest, box.Whisker95)])
            {
                if (FigureNumbers.IsDrawn(extreme) && extreme != whisker)
                    plot.Add.Marker(box.Position, Place(extreme), MarkerShape.FilledCircle, 2.6f, FigureStyle.Pale);
            }

            ScottPlot.Plottables.LinePlot median = plot.Add.Line(box.Position - (width / 2), Place(box.Median), box.Position + (width / 2), Place(box.Median));
            median.LineColor = FigureStyle.Vermilion;
            median.LineWidth = 2.2f;
        }
    }

    /// <summary>One series.</summary>
    internal sealed record Boxes(string Name, IReadOnlyList<Box> Items);

    /// <summary>One box: the whiskers at the 5th and 95th hundredth, the box at the quartiles.</summary>
    internal sealed record Box(
        double Position, long Count, double Lowest, double Whisker5, double Quartile1, double Median, double Quartile3, double Whisker95, double Highest)
    {
        /// <summary>The values from the lowest to the highest.</summary>
        public IReadOnlyList<double> Values => [Lowest, Whisker5, Quartile1, Median, Quartile3, Whisker95, Highest];
    }
}
