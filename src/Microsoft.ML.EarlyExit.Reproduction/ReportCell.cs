using System.Globalization;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A cell of a report's table: what people read, and the numbers behind it.</summary>
/// <param name="Markdown">For people.</param>
/// <param name="Csv">For programs, one text per CSV column; empty where there is no number.</param>
internal readonly record struct ReportCell(string Markdown, IReadOnlyList<string> Csv)
{
    private const string Absent = "–";

    public static ReportCell Text(string text) => new(text, [text]);

    /// <summary>A number with so many decimals.</summary>
    public static ReportCell Number(double? value, int decimals = 2) =>
        value is { } number && double.IsFinite(number) ? new(Fixed(number, decimals), [Exact(number)]) : new(Absent, [""]);

    /// <summary>A large number, as 1.60e12.</summary>
    public static ReportCell Scientific(double? value) => value is { } number ? new(Power(number), [Exact(number)]) : new(Absent, [""]);

    /// <summary>A number with its interval.</summary>
    public static ReportCell Interval(Estimate? estimate, int decimals) => estimate is { } known
        ? new(
            $"{Fixed(known.Value, decimals)} ({Fixed(known.Low, decimals)}–{Fixed(known.High, decimals)})",
            [Exact(known.Value), Exact(known.Low), Exact(known.High)])
        : new(Absent, ["", "", ""]);

    /// <summary>The mean and the sample standard deviation of some numbers.</summary>
    public static ReportCell MeanAndDeviation(IReadOnlyList<double> values, int decimals)
    {
        if (values.Count == 0)
            return new(Absent, ["", ""]);
        double mean = values.Average();
        if (values.Count == 1)
            return new(Fixed(mean, decimals), [Exact(mean), ""]);
        double deviation = Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1));
        return new($"{Fixed(mean, decimals)} ± {Fixed(deviation, decimals)}", [Exact(mean), Exact(deviation)]);
    }

    private static string Exact(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Fixed(double value, int decimals) => value.ToString($"F{decimals}", CultureInfo.InvariantCulture);

    private static string Power(double value) => value == 0 ? "0" : value.ToString("0.00e0", CultureInfo.InvariantCulture);
}
