using System.Globalization;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Numerics;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>What the rounds of a measurement gave.</summary>
/// <param name="Median">The median round.</param>
/// <param name="Low">The lowest.</param>
/// <param name="High">The highest.</param>
internal readonly record struct MeasuredRange(double Median, double Low, double High)
{
    /// <summary>Of one number a round, at least one.</summary>
    public static MeasuredRange Of(IEnumerable<double> rounds)
    {
        double[] sorted = [.. rounds.Order()];
        return new MeasuredRange(SortedNumbers.Quantile(sorted, 0.5), sorted[0], sorted[^1]);
    }

    /// <summary>Writes the three as an object.</summary>
    public void WriteTo(Utf8JsonWriter json, string name)
    {
        json.WriteStartObject(name);
        json.WriteNumber("median", Median);
        json.WriteNumber("low", Low);
        json.WriteNumber("high", High);
        json.WriteEndObject();
    }

    /// <summary>The three for a person.</summary>
    /// <param name="format">How each is written.</param>
    public string Show(string format)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        return $"{Median.ToString(format, culture)} ({Low.ToString(format, culture)} to {High.ToString(format, culture)})";
    }
}
