using ScottPlot;
using ScottPlot.Plottables;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>One panel of a figure while it is made: its axes, and what is drawn in them.</summary>
internal sealed class FigurePanel : IDisposable
{
    private const float LineHeight = 15;
    private const float TickLineHeight = 13;

    private readonly float _axisLabelHeight;
    private float _tickHeight = 18;

    /// <summary>Creates an empty panel.</summary>
    /// <param name="title">A line above it; empty for none.</param>
    /// <param name="axis">What the horizontal axis is; empty for none.</param>
    /// <param name="valueAxis">What the vertical axis is.</param>
    /// <param name="width">Pixels of the whole panel.</param>
    /// <param name="height">Pixels of the whole panel.</param>
    public FigurePanel(string title, string axis, string valueAxis, float width, float height)
    {
        _ = FigureFont.Typeface;
        Width = width;
        Height = height;
        Plot = new Plot();
        IReadOnlyList<string> titleLines = FigureFont.Wrap(title, width - 20, FigureStyle.LabelSize);
        IReadOnlyList<string> axisLines = FigureFont.Wrap(axis, width - 70, FigureStyle.LabelSize);
        IReadOnlyList<string> valueLines = FigureFont.Wrap(valueAxis, height - 60, FigureStyle.LabelSize);
        Top = 10 + (LineHeight * titleLines.Count);
        _axisLabelHeight = LineHeight * axisLines.Count;
        ValueLabelWidth = LineHeight * valueLines.Count;
        Plot.Axes.Title.Label.Text = string.Join('\n', titleLines);
        Plot.Axes.Bottom.Label.Text = string.Join('\n', axisLines);
        Plot.Axes.Left.Label.Text = string.Join('\n', valueLines);
        Style(Plot.Axes.Title.Label, FigureStyle.LabelSize);
        Plot.Axes.Title.Label.OffsetY = 8;
        foreach (IAxis side in (IAxis[])[Plot.Axes.Bottom, Plot.Axes.Left])
        {
            Style(side.Label, FigureStyle.LabelSize);
            Style(side.TickLabelStyle, FigureStyle.TickSize);
            side.FrameLineStyle.Color = side.MajorTickStyle.Color = side.MinorTickStyle.Color = FigureStyle.Pale;
        }

        // What ScottPlot calls the middle of a line of text lies a little below it.
        Plot.Axes.Left.TickLabelStyle.OffsetY = 1.5f;
        Plot.Axes.Right.FrameLineStyle.IsVisible = false;
        Plot.Axes.Top.FrameLineStyle.IsVisible = false;
        Plot.Grid.MajorLineColor = FigureStyle.GridLine;
        Plot.Grid.MajorLineWidth = 1;
        Plot.FigureBackground.Color = Colors.Transparent;
    }

    public Plot Plot { get; }

    public float Width { get; }

    public float Height { get; private set; }

    public float Top { get; }

    /// <summary>Pixels left of the data without the labels of ticks.</summary>
    public float ValueLabelWidth { get; }

    /// <summary>Pixels left of the data; panels above each other have the same.</summary>
    public float Left { get; set; }

    public float Bottom => _tickHeight + _axisLabelHeight + 12;

    public float DataWidth => Width - Left - 14;

    public float DataHeight => Height - Top - Bottom;

    /// <summary>The room that the vertical axis needs.</summary>
    public static float LeftOf(float valueLabelWidth, AxisTicks ticks) => valueLabelWidth + ticks.LabelWidth + 22;

    public static void Style(LabelStyle label, float size)
    {
        label.FontName = FigureFont.Name;
        label.FontSize = size;
        label.Bold = false;
        label.ForeColor = FigureStyle.Ink;
    }

    public void SetValueTicks(AxisTicks ticks)
    {
        Plot.Axes.Left.TickGenerator = ticks.CreateGenerator();
        Plot.Axes.SetLimitsY(ticks.Min, ticks.Max);
    }

    public void SetTicks(AxisTicks ticks, bool hasGrid)
    {
        Plot.Axes.Bottom.TickGenerator = ticks.CreateGenerator();
        Plot.Axes.SetLimitsX(ticks.Min, ticks.Max);
        Plot.Grid.XAxisStyle.IsVisible = hasGrid;
    }

    /// <summary>Puts names below the axis, at 0, 1, …; wrapped, or steep where they have no room. The panel grows by what they need.</summary>
    public void SetNames(IReadOnlyList<string> names)
    {
        float room = DataWidth / Math.Max(1, names.Count);
        IReadOnlyList<string>[] lines = [.. names.Select(name => FigureFont.Wrap(name, room - 6, FigureStyle.TickSize))];
        bool isSteep = lines.Any(name => name.Count > 3 || name.Any(line => line.EndsWith('…')));
        if (isSteep)
        {
            // At 60 degrees a name is half as wide as long, and the first must not leave the page.
            float length = Math.Min(220, (Left + (room / 2)) * 2);
            lines = [.. names.Select(name => FigureFont.Wrap(name, length * 0.6f, FigureStyle.TickSize))];
            if (lines.Any(name => name.Count * TickLineHeight > room - 2))
                lines = [.. names.Select(name => (IReadOnlyList<string>)[FigureFont.Cut(FigureFont.Clean(name), length, FigureStyle.TickSize)])];
            LabelStyle style = Plot.Axes.Bottom.TickLabelStyle;
            style.Rotation = -60;
            style.Alignment = Alignment.MiddleRight;
            style.OffsetX = 3;
            style.OffsetY = 3;
        }

        float widest = lines.SelectMany(name => name).Select(line => FigureFont.Measure(line, FigureStyle.TickSize)).DefaultIfEmpty().Max();
        float height = isSteep ? 18 + (widest * 0.867f) : 6 + (TickLineHeight * lines.Select(name => name.Count).DefaultIfEmpty(1).Max());
        Height += height - _tickHeight;
        _tickHeight = height;
        Plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
            [.. lines.Select((name, index) => Tick.Major(index, string.Join('\n', name)))]);
        Plot.Axes.Bottom.MajorTickStyle.Color = Colors.Transparent;
        Plot.Axes.SetLimitsX(-0.5, Math.Max(1, names.Count) - 0.5);
        Plot.Grid.XAxisStyle.IsVisible = false;
    }

    /// <summary>Writes a small text at a place of the data.</summary>
    public void AddText(
        string text, double x, double y, Color color, Alignment alignment, float size = FigureStyle.ValueSize, float rotation = 0, float offsetY = 0)
    {
        Text added = Plot.Add.Text(text, x, y);
        Style(added.LabelStyle, size);
        added.LabelFontColor = color;
        added.Alignment = alignment;
        added.LabelRotation = rotation;
        added.OffsetY = offsetY;
    }

    /// <summary>Says that there is nothing to draw.</summary>
    public void AddEmptyNote()
    {
        SetValueTicks(new AxisTicks(0, 1, []));
        SetTicks(new AxisTicks(0, 1, []), hasGrid: false);
        AddText("no values", 0.5, 0.5, FigureStyle.Pale, Alignment.MiddleCenter);
    }

    public void Render(SkiaSharp.SKCanvas canvas, float x, float y)
    {
        Plot.RenderManager.ClearCanvasBeforeEachRender = false;
        Plot.Layout.Fixed(new PixelPadding(Left, 14, Bottom, Top));
        Plot.Render(canvas, new PixelRect(x, x + Width, y + Height, y));
    }

    public void Dispose() => Plot.Dispose();
}
