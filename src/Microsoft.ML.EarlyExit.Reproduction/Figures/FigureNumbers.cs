using System.Globalization;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>Numbers as figures and their files show them, whatever the culture.</summary>
internal static class FigureNumbers
{
    private const string SuperscriptDigits = "⁰¹²³⁴⁵⁶⁷⁸⁹";

    /// <summary>Whether a number has a place on an axis: it is finite, and not so large that a range of such numbers is not.</summary>
    public static bool IsDrawn(double value) => Math.Abs(value) <= 1e250;

    /// <summary>A number that round-trips; empty where there is none.</summary>
    public static string ToCsv(double value) => double.IsNaN(value) ? "" : value.ToString("R", CultureInfo.InvariantCulture);

    public static string ToCsv(long value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>A field of CSV, in quotes where it must be.</summary>
    public static string QuoteCsv(string field) =>
        field.AsSpan().ContainsAny(",\"\r\n") ? $"\"{field.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : field;

    /// <summary>A number in few characters, such as <c>62.7</c> or <c>3.1e9</c>.</summary>
    public static string Shorten(double value)
    {
        string format = Math.Abs(value) switch
        {
            0 => "0",
            >= 99_999.5 or < 0.001 => "0.#e0",
            >= 99.95 => "0",
            >= 9.995 => "0.#",
            >= 0.9995 => "0.##",
            _ => "0.###",
        };
        return value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>A power of ten, such as <c>10⁹</c>.</summary>
    public static string PowerOfTen(int exponent) =>
        "10" + string.Concat(exponent.ToString(CultureInfo.InvariantCulture).Select(character => character == '-' ? '⁻' : SuperscriptDigits[character - '0']));
}
