using Microsoft.ML.EarlyExit.Reproduction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class ReportTableTests
{
    private static readonly ReportTable s_table = new(
        "t",
        "T",
        [ReportColumn.Text("a|b"), new("number"), new("share", ReportColumn.Content.Interval), new("exit", ReportColumn.Content.Deviation),
            new("hidden", IsCsvOnly: true)],
        [
            [ReportCell.Text("x|\"y\", z"), ReportCell.Number(1.0 / 3), ReportCell.Interval(new Estimate(50, 40, 60), 1),
                ReportCell.MeanAndDeviation([1, 3], 1),
                ReportCell.Scientific(1.6e12)],
            [ReportCell.Text("none"), ReportCell.Number(null), ReportCell.Interval(null, 1), ReportCell.MeanAndDeviation([], 1), ReportCell.Scientific(null)],
        ]);

    [Fact]
    public void Markdown_is_for_people() => Assert.Equal(
        "| a\\|b | number | share | exit |\n| --- | ---: | ---: | ---: |\n| x\\|\"y\", z | 0.33 | 50.0 (40.0–60.0) | 2.0 ± 1.4 |\n| none | – | – | – |\n",
        s_table.ToMarkdown());

    [Fact]
    public void Csv_has_all_digits_and_every_part() => Assert.Equal(
        [
            "a|b,number,share,\"share, low\",\"share, high\",exit,\"exit, standard deviation\",hidden",
            "\"x|\"\"y\"\", z\",0.3333333333333333,50,40,60,2,1.4142135623730951,1600000000000",
            "none,,,,,,,", "",
        ],
        s_table.ToCsv().Split("\r\n"));

    [Theory]
    [InlineData(1.6e12, "1.60e12")]
    [InlineData(8.72e8, "8.72e8")]
    [InlineData(0, "0")]
    public void Operations_look_as_in_the_paper(double value, string expected) => Assert.Equal(expected, ReportCell.Scientific(value).Markdown);
}
