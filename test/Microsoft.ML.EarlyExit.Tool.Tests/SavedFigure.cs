using System.Xml.Linq;
using Microsoft.ML.EarlyExit.Reproduction.Figures;
using SkiaSharp;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The files of a figure.</summary>
internal sealed class SavedFigure
{
    private readonly string _stem;

    public SavedFigure(string folder, string name) => _stem = Path.Combine(folder, name);

    public static SavedFigure Of(Figure figure, string folder)
    {
        figure.Save(folder);
        return new SavedFigure(folder, figure.Name);
    }

    public byte[] Png => File.ReadAllBytes(_stem + ".png");

    public string Svg => File.ReadAllText(_stem + ".svg");

    public string Csv => File.ReadAllText(_stem + ".csv");

    public string Description => File.ReadAllText(DescriptionPath);

    public string DescriptionPath => _stem + Figure.DescriptionExtension;

    public string CsvPath => _stem + ".csv";

    /// <summary>The texts of the SVG, as a reader sees them.</summary>
    public string[] Texts
    {
        get
        {
            XElement svg = XDocument.Parse(Svg).Root!;
            return [.. svg.Descendants(svg.Name.Namespace + "text").Select(text => text.Value)];
        }
    }

    public void AssertShows(params string[] texts)
    {
        string[] shown = Texts;
        Assert.All(texts, text => Assert.Contains(text, shown));
    }

    public SKBitmap Decode() => SKBitmap.Decode(Png);

    public void WriteCsv(string text) => File.WriteAllText(CsvPath, text);

    public void WriteDescription(string text) => File.WriteAllText(DescriptionPath, text);
}
