namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A column of a report's table.</summary>
/// <param name="Name">Its heading.</param>
/// <param name="Kind">What its cells hold.</param>
/// <param name="IsCsvOnly">Whether only the CSV has it.</param>
internal sealed record ReportColumn(string Name, ReportColumn.Content Kind = ReportColumn.Content.Number, bool IsCsvOnly = false)
{
    internal enum Content
    {
        /// <summary>Words.</summary>
        Text,

        /// <summary>One number.</summary>
        Number,

        /// <summary>A number with its interval; in CSV three columns.</summary>
        Interval,

        /// <summary>A mean with its standard deviation; in CSV two columns.</summary>
        Deviation,
    }

    public static ReportColumn Text(string name) => new(name, Content.Text);

    /// <summary>The headings in CSV.</summary>
    public IEnumerable<string> CsvNames => Kind switch
    {
        Content.Interval => [Name, $"{Name}, low", $"{Name}, high"],
        Content.Deviation => [Name, $"{Name}, standard deviation"],
        _ => [Name],
    };
}
