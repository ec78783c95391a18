using Microsoft.ML.EarlyExit.Reproduction.Figures;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class FiguresCommandTests : IDisposable
{
    private const string Row = """
        {"id": 1, "layers": [{"layer": 1, "argmax": [5, 6], "rank": [4, 0], "confidence": [0.25, null], "logProbability": [-1, -2]}, {"layer": 2, "argmax": [7, 6], "rank": [0, 0], "confidence": [0.5, 1], "logProbability": [-1, -2]}]}
        """;

    private readonly TemporaryFolder _folder = new();

    private string Output => _folder.File("figures");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Scores_become_boxes_of_ranks_and_lines_of_confidence_and_agreement()
    {
        string second = Row.Replace("[4, 0]", "[2, 2]", StringComparison.Ordinal).Replace("0.25", "0.75", StringComparison.Ordinal);
        Write("small.jsonl", Row, "", second, """{"id": 2, "error": "line 4: too long"}""");
        Write("base.jsonl", Row);

        ToolResult result = ToolRunner.Run("figures", "--scores", _folder.File("small.jsonl"), "--scores", _folder.File("base.jsonl"), "--output", Output);

        Assert.Equal((0, ""), (result.ExitCode, result.Output));
        Assert.Contains("small.jsonl: left out 1 row that is an error.", result.Error);
        Assert.Contains($"Drew 2 figures in '{Output}'", result.Error);
        var ranks = new SavedFigure(Output, "ranks");
        Assert.Equal(
            "series,position,count,lowest,whisker5,quartile1,median,quartile3,whisker95,highest\n"
            + "small,1,4,0,0.30000000000000004,1.5,2,2.5,3.6999999999999993,4\nsmall,2,4,0,0,0,0,0,0,0\nbase,1,2,0,0.2,1,2,3,3.8,4\nbase,2,2,0,0,0,0,0,0,0\n",
            ranks.Csv);
        Assert.Equal(
            "panel,valueAxis,series,x,y\n1,mean confidence,small,1,0.5\n1,mean confidence,small,2,0.75\n"
            + "1,mean confidence,base,1,0.25\n1,mean confidence,base,2,0.75\n"
            + "2,share of the last layer's tokens,small,1,0.5\n2,share of the last layer's tokens,small,2,1\n"
            + "2,share of the last layer's tokens,base,1,0.5\n2,share of the last layer's tokens,base,2,1\n",
            new SavedFigure(Output, "confidence").Csv);
        ranks.AssertShows("small", "base", "decoder layer", "1 + rank");
    }

    [Fact]
    public void Files_of_one_name_are_told_apart()
    {
        Directory.CreateDirectory(_folder.File("a"));
        Write("x.jsonl", Row);
        Write("a/x.jsonl", Row);
        ToolResult result = ToolRunner.Run(
            "figures", "--scores", _folder.File("x.jsonl"), "--scores", _folder.File("a/x.jsonl"), "--scores", _folder.File("x.jsonl"), "--output", Output);
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Contains($"\n{_folder.File("x.jsonl")} (2),1,", new SavedFigure(Output, "ranks").Csv);
    }

    [Theory]
    [InlineData("\"rank\": [4, 0]", "\"rank\": [4]", "layers[0].rank has 1 items", "2")]
    [InlineData("\"rank\": [4, 0]", "\"rank\": [4, -1]", "layers[0].rank[1] is -1", "whole number")]
    [InlineData("\"rank\": [4, 0]", "\"rank\": [4, 99999999999]", "layers[0].rank[1] is 99999999999")]
    [InlineData("\"rank\": [4, 0]", "\"rank\": 4", "layers[0].rank is 4", "array")]
    [InlineData("\"rank\": [4, 0], ", "", "layers[0].rank is missing")]
    [InlineData("\"argmax\": [7, 6]", "\"argmax\": [7, 6, 1]", "layers[1].argmax has 3 items")]
    [InlineData("[0.25, null]", "[0.25, \"high\"]", "layers[0].confidence[1] is \"high\"")]
    [InlineData("\"layer\": 2", "\"layer\": 3", "layers[1].layer is 3", "2")]
    [InlineData("\"layer\": 2, ", "", "layers[1].layer is missing")]
    [InlineData("\"layers\"", "\"layer\"", "layers is missing")]
    [InlineData("\"id\": 1, ", "\"id\": 1 ", "not valid JSON")]
    public void What_is_wrong_with_a_row_is_named(string old, string replacement, params string[] words)
    {
        Assert.Contains(old, Row, StringComparison.Ordinal);
        Write("s.jsonl", Row, Row.Replace(old, replacement, StringComparison.Ordinal));
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).AssertFailed(1, [_folder.File("s.jsonl"), "line 2", .. words]);
        Assert.False(Directory.Exists(Output));
    }

    [Fact]
    public void Rows_of_different_models_and_files_without_rows_are_refused()
    {
        Write("s.jsonl", Row, """{"layers": [{"layer": 1, "argmax": [], "rank": [], "confidence": []}]}""");
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).AssertFailed(1, "line 2", "1 layers", "2");
        Write("s.jsonl", """{"layers": []}""");
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).AssertFailed(1, "line 1", "layers is empty");
        Write("s.jsonl");
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).AssertFailed(1, "no rows");
        Write("s.jsonl", """{"error": "e"}""");
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).AssertFailed(1, "all rows are errors");
        ToolRunner.Run("figures", "--scores", _folder.File("none"), "--output", Output).AssertFailed(1, _folder.File("none"));
        Write("s.jsonl", Row);
        ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", _folder.File("s.jsonl")).AssertFailed(1, "is a file");
    }

    [Fact]
    public void A_row_without_tokens_counts_for_nothing()
    {
        Write("s.jsonl", """{"layers": [{"layer": 1, "argmax": [], "rank": [], "confidence": []}]}""");
        Assert.Equal(0, ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).ExitCode);
        Assert.Contains("\ns,1,0,,,,,,,\n", new SavedFigure(Output, "ranks").Csv);
    }

    [Fact]
    public void A_folder_is_drawn_again_from_its_numbers_as_they_are_now()
    {
        Write("s.jsonl", Row);
        Assert.Equal(0, ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).ExitCode);
        var saved = new SavedFigure(Output, "ranks");
        byte[] png = saved.Png;
        string svg = saved.Svg;
        File.Delete(Path.Combine(Output, "ranks.png"));
        File.WriteAllText(Path.Combine(Output, "ranks.svg"), "old");

        ToolResult result = ToolRunner.Run("figures", Output);

        Assert.Equal((0, ""), (result.ExitCode, result.Output));
        Assert.Contains("Drew 2 figures", result.Error);
        Assert.Equal(png, saved.Png);
        Assert.Equal(svg, saved.Svg);

        saved.WriteCsv(saved.Csv.Replace(",4\n", ",4000\n", StringComparison.Ordinal));
        Assert.Equal(0, ToolRunner.Run("figures", Output).ExitCode);
        Assert.NotEqual(svg, saved.Svg);
        Assert.Contains("10³", saved.Texts);
    }

    [Theory]
    [InlineData("s,1,2,", "t,1,2,", "line 2", "series is 't'", "only s")]
    [InlineData("s,1,2,", "s,1,two,", "line 2", "count is 'two'", "whole number")]
    [InlineData("s,1,2,", "s,one,2,", "line 2", "position is 'one'", "number")]
    [InlineData("s,1,2,", "s,1,2,3,", "line 2", "11 columns", "10")]
    [InlineData("series,position", "series,place", "line 1", "series,place", "series,position")]
    public void What_is_wrong_with_numbers_is_named_and_nothing_is_drawn(string old, string replacement, params string[] words)
    {
        Write("s.jsonl", Row);
        Assert.Equal(0, ToolRunner.Run("figures", "--scores", _folder.File("s.jsonl"), "--output", Output).ExitCode);
        var saved = new SavedFigure(Output, "ranks");
        Assert.Contains(old, saved.Csv, StringComparison.Ordinal);
        saved.WriteCsv(saved.Csv.Replace(old, replacement, StringComparison.Ordinal));
        File.Delete(Path.Combine(Output, "confidence.png"));
        ToolRunner.Run("figures", Output).AssertFailed(1, [saved.CsvPath, .. words]);
        Assert.False(File.Exists(Path.Combine(Output, "confidence.png")));
    }

    [Theory]
    [InlineData("panel,valueAxis,series,group,value\n3,y,a,g,1\n", "line 2", "panel is '3'", "1 to 2")]
    [InlineData("panel,valueAxis,series,group,value\n0,y,a,g,1\n", "line 2", "panel is '0'", "1 to 2")]
    [InlineData("panel,valueAxis,series,group,value\n1,z,a,g,1\n", "line 2", "valueAxis is 'z'", "'y'")]
    [InlineData("panel,valueAxis,series,group,value\n1,y,a,g,1\n1,y,a,g,2\n", "line 3", "already")]
    [InlineData("panel,valueAxis,series,group,value\n1,y,a,h,1\n", "line 2", "group is 'h'", "only g")]
    [InlineData("", "empty")]
    public void What_is_wrong_with_bars_is_named(string csv, params string[] words)
    {
        Directory.CreateDirectory(Output);
        SavedFigure saved = SavedFigure.Of(new BarFigure("b", "t", ["g"], ["a"], [new("y", [[1]]), new("y", [[2]])]), Output);
        saved.WriteCsv(csv);
        ToolRunner.Run("figures", Output).AssertFailed(1, [saved.CsvPath, .. words]);
    }

    [Theory]
    [InlineData("{}", "kind is missing")]
    [InlineData("""{"kind": "pie"}""", "kind is \"pie\"", "boxes, bars or lines")]
    [InlineData("""{"kind": "lines", "title": "t", "axis": "x", "panels": [{"valueAxis": "y", "series": ["a", "a"]}]}""", "twice")]
    [InlineData("""{"kind": "lines", "title": "t", "axis": "x", "panels": [{"valueAxis": "y", "series": [1]}]}""", "panels[0].series")]
    [InlineData("""{"kind": "lines", "title": "t", "axis": "x", "panels": [], "colour": "red"}""", "colour")]
    [InlineData(
        """{"kind": "lines", "title": "t", "axis": "x", "panels": [{"valueAxis": "y", "series": [], "smallestSpan": 1e39}]}""",
        "panels[0].smallestSpan", "finite")]
    [InlineData("[", "not valid JSON")]
    public void What_is_wrong_with_a_description_is_named(string description, params string[] words)
    {
        Directory.CreateDirectory(Output);
        SavedFigure saved = SavedFigure.Of(new LineFigure("l", "t", "x", []), Output);
        saved.WriteDescription(description);
        ToolRunner.Run("figures", Output).AssertFailed(1, [saved.DescriptionPath, .. words]);
    }

    [Theory]
    [InlineData("lines", "panels")]
    [InlineData("lines", "panels[0].series")]
    [InlineData("boxes", "series")]
    [InlineData("bars", "panels")]
    [InlineData("bars", "groups")]
    public void More_than_can_be_drawn_is_refused_by_name(string kind, string field)
    {
        string names = Repeat(1001, index => $"\"{index}\"");
        string panel = $$"""{"valueAxis": "y", {{(kind == "bars" ? "\"isLogarithmic\": false" : $"\"series\": {(field == "panels" ? "[]" : names)}")}}}""";
        string groups = field == "panels" ? "[]" : Repeat(900, index => $"\"{index}\"");
        string description = kind switch
        {
            "lines" => $$"""{"kind": "lines", "title": "t", "axis": "x", "panels": {{Repeat(field == "panels" ? 65 : 1, _ => panel)}}}""",
            "boxes" => $$"""{"kind": "boxes", "title": "t", "axis": "x", "valueAxis": "y", "isLogarithmic": false, "series": {{names}}}""",
            _ => $$"""
                {"kind": "bars", "title": "t", "series": ["a", "b", "c"], "groups": {{groups}}, "panels": {{Repeat(field == "panels" ? 65 : 4, _ => panel)}}}
                """,
        };
        Directory.CreateDirectory(Output);
        SavedFigure saved = SavedFigure.Of(new LineFigure("l", "t", "x", []), Output);
        saved.WriteDescription(description);
        ToolRunner.Run("figures", Output).AssertFailed(1, $"{saved.DescriptionPath}: {field} is [", field == "groups" ? "more than 10000 bars" : "at most");

        static string Repeat(int count, Func<int, string> item) => $"[{string.Join(", ", Enumerable.Range(0, count).Select(item))}]";
    }

    [Fact]
    public void Folders_without_figures_or_numbers_are_refused()
    {
        ToolRunner.Run("figures", _folder.Path).AssertFailed(1, _folder.Path, "no figures");
        ToolRunner.Run("figures", _folder.File("none")).AssertFailed(1, _folder.File("none"));
        Directory.CreateDirectory(Output);
        SavedFigure saved = SavedFigure.Of(new LineFigure("l", "t", "x", []), Output);
        File.Delete(saved.CsvPath);
        ToolRunner.Run("figures", Output).AssertFailed(1, saved.CsvPath);
    }

    [Fact]
    public void Cancelling_ends_with_130()
    {
        Write("s.jsonl", Row);
        ToolResult result = ToolRunner.Run(
            new StringWriter(), false, new CancellationToken(canceled: true), "figures", "--scores", _folder.File("s.jsonl"), "--output", Output);
        Assert.Equal(130, result.ExitCode);
        Assert.False(Directory.Exists(Output));
    }

    private void Write(string name, params string[] rows) => File.WriteAllText(_folder.File(name), string.Concat(rows.Select(row => $"{row.TrimEnd()}\n")));
}
