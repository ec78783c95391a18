using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The values of scipy, MAPIE and confseq, and how near to them ours have to be.</summary>
internal static class CalibrationFixture
{
    public static JsonElement Read(string name, string list)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Repository.Fixture($"calibration/{name}.json")));
        return document.RootElement.GetProperty(list).Clone();
    }

    public static double Number(this JsonElement element, string name) => element.GetProperty(name).GetDouble();

    public static int Integer(this JsonElement element, string name) => element.GetProperty(name).GetInt32();

    public static double[] Numbers(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    public static int[] Integers(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(value => value.GetInt32())];

    /// <summary>Relative 1e-9, 1e-6 below 1e-100; below 1e-300 both may underflow.</summary>
    public static void EqualP(double expected, double actual, JsonElement of)
    {
        if (expected < 1e-300)
            Assert.InRange(actual, 0, 2e-300);
        else if (!(Math.Abs(actual - expected) <= expected * (expected < 1e-100 ? 1e-6 : 1e-9)))
            Assert.Fail($"{actual:R} is not {expected:R}: {of.GetRawText()[..Math.Min(300, of.GetRawText().Length)]}");
    }
}
