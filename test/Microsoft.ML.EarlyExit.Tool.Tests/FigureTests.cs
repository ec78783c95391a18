using System.Xml.Linq;
using FsCheck;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Reproduction.Figures;
using SkiaSharp;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class FigureTests : IDisposable
{
    private static readonly BoxPlotFigure s_boxes = new(
        "ranks", "Ranks, \"all\" of <them> & more", "decoder layer", "rank",
        [
            new("t5-large", [new(1, 100, 0, 5, 20.5, 100, 1000, 9999, 32127), new(2, 100, 0, 0, 0, 1, 2.25, 3, 17)]),
            new("no, values", []),
            new("one", [new(3, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)]),
        ],
        IsLogarithmic: true);

    private static readonly BarFigure s_bars = new(
        "bars", "Quality and operations", ["t5-base", "t5-large"], ["none", "fixed"],
        [new("F1, %", [[62.7, double.NaN], [-1.5, 0]]), new("FLOPs", [[3.1e9, 2e11], [0.1 + 0.2, double.NaN]], IsLogarithmic: true)]);

    private static readonly LineFigure s_lines = new(
        "lines", "Mean exit", "minimum exit layer",
        [
            new("mean exit layer", [new("softmax", [(1, 3.5), (2, double.NaN), (3, 4.75)]), new("nothing", [])]),
            new("ROUGE-L, %", [new("softmax", [(1, 40)]), new("JSD", [(1, 1e-7), (24, 1e300)])], SmallestSpan: 5),
        ]);

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Kinds => ["boxes", "bars", "lines"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Numbers_of_boxes_are_tidy()
    {
        Assert.Equal(
            "series,position,count,lowest,whisker5,quartile1,median,quartile3,whisker95,highest\n"
            + "t5-large,1,100,0,5,20.5,100,1000,9999,32127\nt5-large,2,100,0,0,0,1,2.25,3,17\none,3,1,0.1,0.1,0.1,0.1,0.1,0.1,0.1\n",
            SavedFigure.Of(s_boxes, _folder.Path).Csv);
    }

    [Fact]
    public void Numbers_of_bars_are_tidy_and_empty_where_there_is_none()
    {
        Assert.Equal(
            "panel,valueAxis,series,group,value\n1,\"F1, %\",none,t5-base,62.7\n1,\"F1, %\",none,t5-large,\n"
            + "1,\"F1, %\",fixed,t5-base,-1.5\n1,\"F1, %\",fixed,t5-large,0\n"
            + "2,FLOPs,none,t5-base,3100000000\n2,FLOPs,none,t5-large,200000000000\n2,FLOPs,fixed,t5-base,0.30000000000000004\n2,FLOPs,fixed,t5-large,\n",
            SavedFigure.Of(s_bars, _folder.Path).Csv);
    }

    [Fact]
    public void Numbers_of_lines_are_tidy()
    {
        Assert.Equal(
            "panel,valueAxis,series,x,y\n1,mean exit layer,softmax,1,3.5\n1,mean exit layer,softmax,2,\n1,mean exit layer,softmax,3,4.75\n"
            + "2,\"ROUGE-L, %\",softmax,1,40\n2,\"ROUGE-L, %\",JSD,1,1E-07\n2,\"ROUGE-L, %\",JSD,24,1E+300\n",
            SavedFigure.Of(s_lines, _folder.Path).Csv);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_picture_is_a_png_of_twice_the_pixels_with_text_and_data_in_it(string kind)
    {
        SavedFigure saved = SavedFigure.Of(Create(kind), _folder.Path);
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], saved.Png[..4]);
        using SKBitmap picture = saved.Decode();
        XElement svg = XDocument.Parse(saved.Svg).Root!;
        Assert.Equal((1600, 2 * int.Parse(svg.Attribute("height")!.Value)), (picture.Width, picture.Height));
        Assert.Equal($"0 0 800 {picture.Height / 2}", svg.Attribute("viewBox")!.Value);

        // The title's lines at the top, in the middle; nothing at the very edges.
        Assert.InRange(CountDark(picture, 500, 10, 1100, 60), 300, 20_000);
        Assert.Equal(0, CountDark(picture, 0, 0, 1600, 8) + CountDark(picture, 0, 0, 8, picture.Height) + CountDark(picture, 1592, 0, 1600, picture.Height));
        Assert.True(picture.Pixels.Distinct().Take(300).Count() > 50, "There are hardly any colours.");
    }

    [Fact]
    public void The_svg_has_the_texts_in_the_tool_s_own_font()
    {
        SavedFigure boxes = SavedFigure.Of(s_boxes, _folder.Path);
        boxes.AssertShows("Ranks, \"all\" of <them> & more", "decoder layer", "1 + rank", "t5-large", "no, values", "10⁴", "no values", "1", "2");
        SavedFigure bars = SavedFigure.Of(s_bars, _folder.Path);
        bars.AssertShows(
            "Quality and operations", "F1, %", "FLOPs", "t5-base", "fixed", "62.7", "-1.5", "0", "n/a", "3.1e9", "2e11", "0.3", "n/a: there is no value.");
        SavedFigure lines = SavedFigure.Of(s_lines, _folder.Path);
        lines.AssertShows("Mean exit", "minimum exit layer", "mean exit layer", "ROUGE-L, %", "softmax", "JSD");
        Assert.DoesNotContain("nothing", lines.Texts);
        foreach (SavedFigure saved in (SavedFigure[])[boxes, bars, lines])
        {
            Assert.All(
                XDocument.Parse(saved.Svg).Descendants().Where(element => element.Name.LocalName == "text"),
                text => Assert.Equal("DejaVu Sans, Verdana, sans-serif", text.Attribute("font-family")!.Value));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_same_figure_has_the_same_bytes_and_so_has_one_that_is_read_again(string kind)
    {
        SavedFigure first = SavedFigure.Of(Create(kind), _folder.Path);
        (byte[] png, string svg, string csv, string description) = (first.Png, first.Svg, first.Csv, first.Description);
        using var other = new TemporaryFolder();

        SavedFigure again = SavedFigure.Of(Create(kind), other.Path);
        Assert.Equal((svg, csv, description), (again.Svg, again.Csv, again.Description));
        Assert.Equal(png, again.Png);

        SavedFigure read = SavedFigure.Of(FigureFile.Read(first.DescriptionPath), other.Path);
        Assert.Equal((svg, csv, description), (read.Svg, read.Csv, read.Description));
        Assert.Equal(png, read.Png);
    }

    [Fact]
    public void Saving_replaces_and_leaves_nothing_else_behind()
    {
        File.WriteAllText(_folder.File("lines.png"), "old");
        s_lines.Save(_folder.Path);
        Assert.Equal(
            ["lines.csv", "lines.figure.json", "lines.png", "lines.svg"],
            Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Throws<DirectoryNotFoundException>(() => s_lines.Save(_folder.File("none")));
    }

    [Fact]
    public void What_could_not_be_read_again_is_refused()
    {
        Assert.Contains("'a'", Refuse(s_boxes with { Series = [new("a", []), new("a", [])] }));
        Assert.Contains("'t5-base'", Refuse(s_bars with { Groups = ["t5-base", "t5-base"] }));
        Assert.Contains("F1, %", Refuse(s_bars with { Groups = ["one"] }));
        Assert.Contains("'x'", Refuse(s_lines with { Panels = [new("y", [new("x", []), new("x", [])])] }));
        Assert.Contains("'a/b'", Refuse(s_lines with { Name = "a/b" }));
        Assert.Contains("''", Refuse(s_lines with { Name = "" }));

        string Refuse(Figure figure) => Assert.Throws<ArgumentException>(() => figure.Save(_folder.Path)).Message;
    }

    [Fact]
    public void Figures_without_anything_are_drawn()
    {
        SavedFigure boxes = SavedFigure.Of(s_boxes with { Series = [] }, _folder.Path);
        SavedFigure bars = SavedFigure.Of(s_bars with { Groups = [], Series = [], Panels = [] }, _folder.Path);
        SavedFigure lines = SavedFigure.Of(s_lines with { Panels = [], Title = "", Axis = "" }, _folder.Path);
        Assert.Contains("no values", boxes.Texts);
        Assert.Contains("no values", lines.Texts);
        Assert.Contains("Quality and operations", bars.Texts);
    }

    [Fact]
    public void Many_series_with_long_names_have_room()
    {
        string[] names = [.. Enumerable.Range(1, 8).Select(number => $"series {number} {string.Join(' ', Enumerable.Repeat("with a long name", 12))}")];
        string word = new('w', 300);
        SavedFigure bars = SavedFigure.Of(
            new BarFigure(
                "many", $"{word} {word}", [.. Enumerable.Range(1, 24).Select(group => $"{word} {group}")], names,
                [new(word, [.. names.Select(_ => Enumerable.Range(1, 24).Select(group => (double)group).ToArray())])]),
            _folder.Path);
        using SKBitmap picture = bars.Decode();
        Assert.Equal(0, CountDark(picture, 0, 0, 8, picture.Height) + CountDark(picture, 1592, 0, 1600, picture.Height));
        Assert.Equal(8, bars.Texts.Count(text => text.StartsWith("series ", StringComparison.Ordinal) && text.EndsWith('…')));
    }

    [Fact]
    public void Layers_have_whole_ticks_and_powers_of_ten_are_labelled_as_such()
    {
        LineFigure layers = s_lines with { Panels = [new("y", [new("a", [.. Enumerable.Range(1, 24).Select(layer => ((double)layer, layer * 1e9))])])] };
        SavedFigure saved = SavedFigure.Of(layers, _folder.Path);
        saved.AssertShows(["1e10", .. Enumerable.Range(1, 24).Select(layer => $"{layer}")]);
        Assert.DoesNotContain(saved.Texts, text => text.Contains('E', StringComparison.Ordinal) && text != "Mean exit");
    }

    [Fact]
    public void Characters_that_xml_cannot_hold_do_no_harm()
    {
        SavedFigure saved = SavedFigure.Of(s_lines with { Title = "a\0b\u0001c\ud800d\uffffe\nf", Axis = "\U0001F600 <&>" }, _folder.Path);
        Assert.Contains("a b c d e f", saved.Texts);
        Assert.NotNull(XDocument.Parse(saved.Svg));
    }

    [Property(MaxTest = 12)]
    public void Any_numbers_can_be_drawn_and_read_again(double[] values, bool isLogarithmic)
    {
        double[] numbers = [.. values.Take(12)];
        var figures = new Figure[]
        {
            new LineFigure("any-lines", "t", "x", [new("y", [new("a", [.. numbers.Zip(numbers.Reverse())])])]),
            new BarFigure("any-bars", "t", [.. numbers.Select((_, index) => $"{index}")], ["a"], [new("y", [numbers], isLogarithmic)]),
            new BoxPlotFigure(
                "any-boxes", "t", "x", "y",
                [new("a", [.. numbers.Select(value => new BoxPlotFigure.Box(value, 1, value, value, value, value, value, value, value))])], isLogarithmic),
        };
        foreach (Figure figure in figures)
        {
            SavedFigure saved = SavedFigure.Of(figure, _folder.Path);
            (string csv, string svg) = (saved.Csv, saved.Svg);
            SavedFigure read = SavedFigure.Of(FigureFile.Read(saved.DescriptionPath), _folder.Path);
            Assert.Equal((csv, svg), (read.Csv, read.Svg));
        }
    }

    [Fact]
    public void Figures_can_be_drawn_on_several_threads()
    {
        SavedFigure one = SavedFigure.Of(s_boxes, _folder.Path);
        (byte[] png, string svg) = (one.Png, one.Svg);
        Parallel.For(0, 8, index =>
        {
            SavedFigure other = SavedFigure.Of(s_boxes with { Name = $"ranks{index}" }, _folder.Path);
            Assert.Equal(svg, other.Svg);
            Assert.Equal(png, other.Png);
        });
    }

    private static Figure Create(string kind) => kind switch { "boxes" => s_boxes, "bars" => s_bars, _ => s_lines };

    private static int CountDark(SKBitmap picture, int left, int top, int right, int bottom)
    {
        int count = 0;
        for (int y = top; y < bottom; y++)
        {
            for (int x = left; x < right; x++)
            {
                SKColor color = picture.GetPixel(x, y);
                if (color.Red + color.Green + color.Blue < 400)
                    count++;
            }
        }

        return count;
    }
}
