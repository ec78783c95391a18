using System.Globalization;
using System.Text;
using System.Xml.Linq;
using ScottPlot;
using SkiaSharp;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>A whole figure as it is drawn: the title, the panels in rows, and below them, where they cover nothing, the legend and a note.</summary>
internal sealed class FigurePage : IDisposable
{
    /// <summary>Pixels of the SVG; the PNG has <see cref="Scale"/> times as many.</summary>
    public const int Width = 800;

    public const int Scale = 2;

    private const float Margin = 12;
    private const float TitleHeight = 20;
    private const float LegendRow = 19;
    private const float SampleWidth = 36;

    private readonly IReadOnlyList<FigurePanel> _panels;
    private readonly int _columns;
    private readonly bool _hasLines;
    private readonly string _title;
    private readonly IReadOnlyList<string> _titleLines;
    private readonly IReadOnlyList<string> _legend;
    private readonly IReadOnlyList<string> _noteLines;
    private readonly float _cell;
    private readonly int _legendColumns;

    /// <summary>Puts a page together.</summary>
    /// <param name="title">What the figure shows.</param>
    /// <param name="panels">Its panels, row by row; disposed with the page.</param>
    /// <param name="columns">Panels in a row.</param>
    /// <param name="legend">The names of the series; empty for no legend.</param>
    /// <param name="hasLines">Whether series are lines with markers, and not areas.</param>
    /// <param name="note">A note below; empty for none.</param>
    public FigurePage(string title, IReadOnlyList<FigurePanel> panels, int columns, IReadOnlyList<string> legend, bool hasLines, string note)
    {
        _title = FigureFont.Clean(title);
        _panels = panels;
        _columns = columns;
        _hasLines = hasLines;
        _titleLines = FigureFont.Wrap(title, Width - (2 * Margin), FigureStyle.TitleSize);
        float longest = Width - (2 * Margin) - SampleWidth - 20;
        _legend = [.. legend.Select(name => FigureFont.Cut(FigureFont.Clean(name), longest, FigureStyle.TickSize))];
        _noteLines = FigureFont.Wrap(note, Width - (2 * Margin), FigureStyle.ValueSize);
        _cell = SampleWidth + 20 + _legend.Select(name => FigureFont.Measure(name, FigureStyle.TickSize)).DefaultIfEmpty().Max();
        int most = Math.Clamp((int)((Width - (2 * Margin)) / _cell), 1, Math.Max(1, _legend.Count));

        // As many in every row as in the others, as far as that goes.
        int rows = (_legend.Count + most - 1) / most;
        _legendColumns = rows == 0 ? 1 : (_legend.Count + rows - 1) / rows;
        Height = (int)Math.Ceiling(PanelsTop + PanelsHeight + LegendHeight + NoteHeight + Margin);
    }

    public int Height { get; }

    private float PanelsTop => Margin + (TitleHeight * _titleLines.Count) + 6;

    private float PanelsHeight => _panels.Chunk(_columns).Sum(row => row.Max(panel => panel.Height));

    private float LegendHeight => _legend.Count == 0 ? 0 : 6 + (LegendRow * ((_legend.Count + _legendColumns - 1) / _legendColumns));

    private float NoteHeight => _noteLines.Count == 0 ? 0 : 6 + (13 * _noteLines.Count);

    /// <summary>Pixels of a panel that shares its row with others.</summary>
    public static float PanelWidth(int columns) => (Width - (2 * Margin)) / columns;

    public byte[] ToPng()
    {
        using var surface = SKSurface.Create(new SKImageInfo(Width * Scale, Height * Scale));
        surface.Canvas.Clear(SKColors.White);
        surface.Canvas.Scale(Scale);
        Render(surface.Canvas);
        using SKImage image = surface.Snapshot();
        using SKData data = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        return data.ToArray();
    }

    public string ToSvg()
    {
        using var stream = new MemoryStream();
        using (SKCanvas canvas = SKSvgCanvas.Create(SKRect.Create(Width, Height), stream))
        {
            using (var white = new SKPaint { Color = SKColors.White })
                canvas.DrawRect(0, 0, Width, Height, white);
            Render(canvas);
        }

        stream.Position = 0;
        XElement svg = XDocument.Load(stream).Root!;
        svg.SetAttributeValue("viewBox", string.Create(CultureInfo.InvariantCulture, $"0 0 {Width} {Height}"));
        svg.AddFirst(new XElement(svg.Name.Namespace + "title", _title));

        // Skia numbers them as the process goes on.
        var clips = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (XAttribute id in svg.Descendants().Attributes("id"))
        {
            clips[$"url(#{id.Value})"] = $"url(#clip{clips.Count + 1})";
            id.Value = $"clip{clips.Count}";
        }

        foreach (XAttribute clip in svg.Descendants().Attributes("clip-path"))
            clip.Value = clips[clip.Value];
        foreach (XElement text in svg.Descendants(svg.Name.Namespace + "text"))
            text.Value = text.Value.Trim();

        // Verdana has the same widths, for machines without the font.
        foreach (XAttribute family in svg.Descendants().Attributes("font-family"))
            family.Value = $"{FigureFont.Name}, Verdana, sans-serif";
        return new XDeclaration("1.0", "utf-8", null) + "\n" + svg + "\n";
    }

    public void Dispose()
    {
        foreach (FigurePanel panel in _panels)
            panel.Dispose();
    }

    private void Render(SKCanvas canvas)
    {
        using Paint paint = Paint.NewDisposablePaint();
        for (int line = 0; line < _titleLines.Count; line++)
        {
            Write(
                canvas, paint, _titleLines[line], Width / 2f, Margin + 8 + (TitleHeight * line), FigureStyle.TitleSize, FigureStyle.Ink,
                Alignment.MiddleCenter);
        }

        float y = PanelsTop;
        foreach (FigurePanel[] row in _panels.Chunk(_columns))
        {
            for (int column = 0; column < row.Length; column++)
                row[column].Render(canvas, Margin + (PanelWidth(_columns) * column), y);
            y += row.Max(panel => panel.Height);
        }

        RenderLegend(canvas, paint, y + 6);
        y += LegendHeight + 6;
        for (int line = 0; line < _noteLines.Count; line++)
            Write(canvas, paint, _noteLines[line], Width / 2f, y + 6 + (13 * line), FigureStyle.ValueSize, FigureStyle.Pale, Alignment.MiddleCenter);
    }

    private void RenderLegend(SKCanvas canvas, Paint paint, float top)
    {
        float left = (Width - (_cell * _legendColumns)) / 2;
        for (int index = 0; index < _legend.Count; index++)
        {
            float x = left + (_cell * (index % _legendColumns)) + 10;
            float y = top + (LegendRow * (index / _legendColumns)) + (LegendRow / 2);
            FigureStyle style = FigureStyle.Of(index);
            if (_hasLines)
            {
                FigureLine.DrawLine(canvas, [new Pixel(x, y), new Pixel(x + 30, y)], style);
                Drawing.DrawMarker(canvas, paint, new Pixel(x + 15, y), style.CreateMarker());
            }
            else
            {
                Drawing.FillRectangle(canvas, new PixelRect(x + 12, x + 28, y + 6, y - 6), paint, new FillStyle { Color = style.Color });
            }

            Write(canvas, paint, _legend[index], x + SampleWidth, y + 1.5f, FigureStyle.TickSize, FigureStyle.Ink, Alignment.MiddleLeft);
        }
    }

    private static void Write(SKCanvas canvas, Paint paint, string text, float x, float y, float size, Color color, Alignment alignment)
    {
        var label = new LabelStyle { Text = text, Alignment = alignment };
        FigurePanel.Style(label, size);
        label.ForeColor = color;
        label.Render(canvas, new Pixel(x, y), paint);
    }
}
