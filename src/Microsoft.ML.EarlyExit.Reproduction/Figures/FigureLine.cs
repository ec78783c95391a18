using ScottPlot;
using SkiaSharp;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>A line with markers. Its dashes are drawn as what they cover, since Skia's SVG knows no dashes.</summary>
internal sealed class FigureLine(IReadOnlyList<Coordinates> points, FigureStyle style) : IPlottable
{
    private const float LineWidth = 1.6f;

    public bool IsVisible { get; set; } = true;

    public IAxes Axes { get; set; } = new Axes();

    public IEnumerable<LegendItem> LegendItems => LegendItem.None;

    public AxisLimits GetAxisLimits() => new(points);

    public void Render(RenderPack rp) => Draw(rp.Canvas, rp.Paint, [.. points.Select(Axes.GetPixel)], style);

    /// <summary>Draws a line and its markers.</summary>
    public static void Draw(SKCanvas canvas, Paint paint, IReadOnlyList<Pixel> points, FigureStyle style)
    {
        DrawLine(canvas, points, style);
        foreach (Pixel point in points)
            Drawing.DrawMarker(canvas, paint, point, style.CreateMarker());
    }

    /// <summary>Draws a line without markers.</summary>
    public static void DrawLine(SKCanvas canvas, IReadOnlyList<Pixel> points, FigureStyle style)
    {
        using var path = new SKPath();
        for (int index = 0; index < points.Count; index++)
        {
            if (index == 0)
                path.MoveTo(points[index].X, points[index].Y);
            else
                path.LineTo(points[index].X, points[index].Y);
        }

        using var line = new SKPaint { IsStroke = true, StrokeWidth = LineWidth, Color = style.Color.ToSKColor(), IsAntialias = true };
        if (style.Dashes.Count == 0)
        {
            canvas.DrawPath(path, line);
            return;
        }

        using SKPathEffect effect = SKPathEffect.CreateDash([.. style.Dashes], 0);
        line.PathEffect = effect;
        using SKPath covered = line.GetFillPath(path);
        using var fill = new SKPaint { Color = style.Color.ToSKColor(), IsAntialias = true };
        canvas.DrawPath(covered, fill);
    }
}
