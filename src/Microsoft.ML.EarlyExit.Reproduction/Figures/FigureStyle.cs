using ScottPlot;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>
/// How a series looks: in the colours that Okabe and Ito chose for all kinds of colour vision, with a marker and a pattern that tell it apart without them.
/// </summary>
/// <param name="Color">Its colour.</param>
/// <param name="Marker">The marker at its points.</param>
/// <param name="Dashes">Pixels of its line's dashes and gaps; none for a solid line.</param>
internal sealed record FigureStyle(Color Color, MarkerShape Marker, IReadOnlyList<float> Dashes)
{
    public const float TitleSize = 15;
    public const float LabelSize = 12;
    public const float TickSize = 10.5f;
    public const float ValueSize = 9.5f;

    public static readonly Color Ink = new(0x26, 0x26, 0x26);
    public static readonly Color Pale = new(0x70, 0x70, 0x70);
    public static readonly Color GridLine = new(0xE2, 0xE2, 0xE2);
    public static readonly Color Blue = new(0x00, 0x72, 0xB2);
    public static readonly Color PaleBlue = new(0xB5, 0xDB, 0xF3);
    public static readonly Color SkyBlue = new(0x56, 0xB4, 0xE9);
    public static readonly Color Vermilion = new(0xD5, 0x5E, 0x00);

    private static readonly FigureStyle[] s_styles =
    [
        new(Blue, MarkerShape.FilledCircle, []),
        new(new Color(0xE6, 0x9F, 0x00), MarkerShape.FilledSquare, [7, 3]),
        new(new Color(0x00, 0x9E, 0x73), MarkerShape.FilledTriangleUp, [2, 2.5f]),
        new(new Color(0x00, 0x00, 0x00), MarkerShape.OpenCircle, [8, 3, 2, 3]),
        new(Vermilion, MarkerShape.FilledDiamond, [12, 4]),
        new(SkyBlue, MarkerShape.OpenSquare, [4, 2]),
        new(new Color(0xCC, 0x79, 0xA7), MarkerShape.FilledTriangleDown, [8, 3, 2, 3, 2, 3]),
        new(new Color(0xB8, 0xAC, 0x0B), MarkerShape.Eks, [1.5f, 4]),
    ];

    /// <summary>The look of a series by its number from 0; from the ninth on the looks repeat with thinner lines' colours as they are.</summary>
    public static FigureStyle Of(int series) => s_styles[series % s_styles.Length];

    public MarkerStyle CreateMarker() => new(Marker, Marker is MarkerShape.Eks ? 7 : 6.5f, Color)
    {
        LineColor = Color,
        LineWidth = 1.6f,
        OutlineColor = Color,
        OutlineWidth = Marker is MarkerShape.OpenCircle or MarkerShape.OpenSquare ? 1.6f : 0,
    };
}
