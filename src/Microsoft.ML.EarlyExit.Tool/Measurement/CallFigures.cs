using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>The figures of whole calls in one way to generate.</summary>
/// <param name="Rows">Rows of a call.</param>
/// <param name="Tokens">Tokens of a call.</param>
/// <param name="Seconds">What a call took.</param>
internal sealed record CallFigures(int Rows, int Tokens, MeasuredRange Seconds)
{
    public MeasuredRange TokensPerSecond => new(Tokens / Seconds.Median, Tokens / Seconds.High, Tokens / Seconds.Low);

    public static CallFigures Of(TimedCalls calls) => new(calls.Results.Length, calls.Tokens, MeasuredRange.Of(calls.Seconds));

    /// <summary>Writes the medians.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        json.WriteNumber("rows", Rows);
        json.WriteNumber("tokens", Tokens);
        json.WriteNumber("tokensPerSecond", TokensPerSecond.Median);
        json.WriteNumber("seconds", Seconds.Median);
    }
}
