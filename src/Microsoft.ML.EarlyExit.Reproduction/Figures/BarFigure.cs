using System.Text.Json;
using ScottPlot;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>Grouped bars in one or more panels, such as quality and operations of each pruning for each model.</summary>
/// <param name="Name">Its files' name.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Groups">Where bars stand together, e.g. the models.</param>
/// <param name="Series">What is compared in every group, e.g. the prunings.</param>
/// <param name="Panels">The panels, one above the other.</param>
internal sealed record BarFigure(string Name, string Title, IReadOnlyList<string> Groups, IReadOnlyList<string> Series, IReadOnlyList<BarFigure.Panel> Panels)
    : Figure(Name, Title)
{
    public const string Kind = "bars";

    private const string Missing = "n/a";

    public static readonly string[] Columns = ["panel", "valueAxis", "series", "group", "value"];

    /// <summary>The share of a group's room that its bars take.</summary>
    private const double GroupWidth = 0.84;

    /// <summary>Pixels of the widest bar.</summary>
    private const double MostPixels = 64;

    protected override void Check()
    {
        CheckUnique(Groups, "group");
        CheckUnique(Series, "series");
        foreach (Panel panel in Panels)
        {
            if (panel.Values.Count != Series.Count || panel.Values.Any(values => values.Count != Groups.Count))
            {
                throw new ArgumentException(
                    $"The panel '{panel.ValueAxis}' of the figure '{Name}' must have a value for each of {Series.Count} series and {Groups.Count} groups.");
            }
        }
    }

    protected override IEnumerable<IReadOnlyList<string>> Rows()
    {
        yield return Columns;
        for (int panel = 0; panel < Panels.Count; panel++)
        {
            for (int series = 0; series < Series.Count; series++)
            {
                for (int group = 0; group < Groups.Count; group++)
                {
                    double value = Panels[panel].Values[series][group];
                    yield return [FigureNumbers.ToCsv(panel + 1L), Panels[panel].ValueAxis, Series[series], Groups[group], FigureNumbers.ToCsv(value)];
                }
            }
        }
    }

    protected override void Describe(Utf8JsonWriter json)
    {
        json.WriteString("kind", Kind);
        json.WriteString("title", Title);
        WriteStrings(json, "groups", Groups);
        WriteStrings(json, "series", Series);
        json.WriteStartArray("panels");
        foreach (Panel panel in Panels)
        {
            json.WriteStartObject();
            json.WriteString("valueAxis", panel.ValueAxis);
            json.WriteBoolean("isLogarithmic", panel.IsLogarithmic);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    protected override FigurePage CreatePage()
    {
        IReadOnlyList<Panel> shown = Panels.Count > 0
            ? Panels
            : [new Panel("", [.. Series.Select(_ => Enumerable.Repeat(double.NaN, Groups.Count).ToArray())])];
        FigurePanel[] panels = [.. shown.Select(panel => new FigurePanel("", "", panel.ValueAxis, FigurePage.PanelWidth(1), 260))];
        float left = shown.Select((panel, index) => FigurePanel.LeftOf(panels[index].ValueLabelWidth, Ticks(panel, headroom: 0.2))).Max();
        bool isAnyMissing = false;
        for (int index = 0; index < panels.Length; index++)
        {
            FigurePanel panel = panels[index];
            panel.Left = left;
            panel.SetNames([.. Groups]);
            isAnyMissing |= AddBars(panel, shown[index]);
        }

        return new FigurePage(Title, panels, 1, Series, hasLines: false, isAnyMissing ? $"{Missing}: there is no value." : "");
    }

    /// <summary>The axis of values, with room for what stands on the bars.</summary>
    private static AxisTicks Ticks(Panel panel, double headroom)
    {
        double[] values = [.. panel.Values.SelectMany(values => values).Where(value => FigureNumbers.IsDrawn(value) && (value > 0 || !panel.IsLogarithmic))];
        if (values.Length == 0)
            return new AxisTicks(0, 1, []);
        if (!panel.IsLogarithmic)
        {
            double min = Math.Min(0, values.Min());
            double max = Math.Max(0, values.Max());
            double room = (max - min) * headroom / (1 - (min < 0 ? 2 : 1) * headroom);
            return AxisTicks.Linear(min < 0 ? min - room : 0, max + room, 6);
        }

        // A bar of a power of ten would have no height above it.
        AxisTicks logarithmic = AxisTicks.Logarithmic(Math.Log10(values.Min()) - 0.15, Math.Log10(values.Max()), 6);
        double needed = logarithmic.Min + ((Math.Log10(values.Max()) - logarithmic.Min) / (1 - headroom));
        return logarithmic with { Max = Math.Max(logarithmic.Max, needed) };
    }

    /// <returns>Whether a value was missing.</returns>
    private bool AddBars(FigurePanel panel, Panel data)
    {
        double widest = MostPixels * Math.Max(1, Groups.Count) / panel.DataWidth;
        double width = Math.Min(GroupWidth / Math.Max(1, Series.Count), widest);
        float room = (float)(panel.DataWidth / Math.Max(1, Groups.Count) * width);
        string[] texts = [.. data.Values.SelectMany(values => values).Select(value => FigureNumbers.IsDrawn(value) ? FigureNumbers.Shorten(value) : Missing)];
        float longest = texts.Select(text => FigureFont.Measure(text, FigureStyle.ValueSize)).DefaultIfEmpty().Max();
        bool isUpright = longest > room - 1;
        float size = room < 13 ? 8.5f : FigureStyle.ValueSize;
        AxisTicks ticks = Ticks(data, Math.Min(0.4, ((isUpright ? longest : 12) + 8) / panel.DataHeight));
        panel.SetValueTicks(ticks);
        double foot = data.IsLogarithmic ? ticks.Min : 0;
        var bars = new List<Bar>();
        bool isAnyMissing = false;
        for (int series = 0; series < Series.Count; series++)
        {
            for (int group = 0; group < Groups.Count; group++)
            {
                double value = data.Values[series][group];
                double x = group + (width * (series + 0.5 - (Series.Count / 2.0)));
                bool isMissing = !FigureNumbers.IsDrawn(value);
                isAnyMissing |= isMissing;
                double top = isMissing ? foot : data.IsLogarithmic ? value > 0 ? Math.Log10(value) : foot : value;
                if (!isMissing)
                {
                    bars.Add(
                        new Bar { Position = x, Value = top, ValueBase = foot, Size = width * 0.92, FillColor = FigureStyle.Of(series).Color, LineWidth = 0 });
                }

                bool isBelow = !data.IsLogarithmic && !isMissing && value < 0;
                panel.AddText(
                    isMissing ? Missing : FigureNumbers.Shorten(value),
                    x,
                    top,
                    isMissing ? FigureStyle.Pale : FigureStyle.Ink,
                    isUpright ? isBelow ? Alignment.MiddleRight : Alignment.MiddleLeft : isBelow ? Alignment.UpperCenter : Alignment.LowerCenter,
                    size,
                    isUpright ? -90 : 0,
                    offsetY: isBelow ? 3 : -3);
            }
        }

        if (bars.Count > 0)
            panel.Plot.MoveToBack(panel.Plot.Add.Bars(bars));
        if (ticks.Min < 0 && !data.IsLogarithmic)
            panel.Plot.Add.HorizontalLine(0, 1, FigureStyle.Pale);
        return isAnyMissing;
    }

    /// <summary>One panel.</summary>
    /// <param name="ValueAxis">What the bars' heights are.</param>
    /// <param name="Values">The heights, [series][group]; NaN where there is none.</param>
    /// <param name="IsLogarithmic">Whether the axis of values is logarithmic.</param>
    internal sealed record Panel(string ValueAxis, IReadOnlyList<IReadOnlyList<double>> Values, bool IsLogarithmic = false);
}
