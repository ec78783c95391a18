using System.Text;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A table of the report.</summary>
/// <param name="Name">Its files' name, without extension.</param>
/// <param name="Title">What it shows.</param>
/// <param name="Columns">Its columns.</param>
/// <param name="Rows">Its rows, a cell for each column.</param>
internal sealed record ReportTable(string Name, string Title, IReadOnlyList<ReportColumn> Columns, IReadOnlyList<IReadOnlyList<ReportCell>> Rows)
{
    /// <summary>The table without its title.</summary>
    public string ToMarkdown()
    {
        int[] shown = [.. Enumerable.Range(0, Columns.Count).Where(index => !Columns[index].IsCsvOnly)];
        var text = new StringBuilder();
        Line(shown.Select(index => Escape(Columns[index].Name)));
        Line(shown.Select(index => Columns[index].Kind == ReportColumn.Content.Text ? "---" : "---:"));
        foreach (IReadOnlyList<ReportCell> row in Rows)
            Line(shown.Select(index => Escape(row[index].Markdown)));
        return text.ToString();

        void Line(IEnumerable<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
    }

    public string ToCsv()
    {
        var text = new StringBuilder();
        Line(Columns.SelectMany(column => column.CsvNames));
        foreach (IReadOnlyList<ReportCell> row in Rows)
            Line(row.SelectMany(cell => cell.Csv));
        return text.ToString();

        void Line(IEnumerable<string> cells) => text.AppendJoin(',', cells.Select(Quote)).Append("\r\n");
    }

    private static string Escape(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);

    private static string Quote(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}
