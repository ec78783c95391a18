using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>What the published implementations of the metrics give; see the READMEs of test/fixtures/rouge, squad and sacrebleu.</summary>
internal static class MetricFixtures
{
    /// <summary>Texts on which differences between .NET's and Python's strings show, and bad ones.</summary>
    public static string[] HostileTexts { get; } =
    [
        "", " ", "\n\n", "\0", "a", "the", "\uD800", "the \uDC00 cat", "\uDC00\uD800", "cat\uD83D", "İstanbul", "\u212Aelvin", "ΟΔΥΣΣΕΥΣ Σ", "a\u0301 cat",
        "&quot;&amp;lt;", "…", "1,000.5-3", "-\n", "<skipped>", new string('y', 2000), new string('.', 2000), new string('Σ', 2000),
        string.Concat(Enumerable.Repeat("a\n", 300)),
    ];

    public static JsonElement Read(string folder, string file) => Parse(Repository.Fixture(Path.Combine(folder, file)));

    /// <summary>A file in a folder beside the repository, which a fresh clone does not have.</summary>
    public static JsonElement ReadBeside(string folder, string file)
    {
        string path = Path.Combine(Repository.Folder, "..", "shared", "fixtures", folder, file);
        Assert.SkipUnless(File.Exists(path), $"{file} may not be copied into the repository and is not beside it.");
        return Parse(path);
    }

    public static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    public static string[] Texts(this JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(text => text.GetString()!)];

    public static double[] Numbers(this JsonElement element, string name) =>
        [.. element.GetProperty(name).EnumerateArray().Select(number => number.GetDouble())];

    private static JsonElement Parse(string path) => JsonDocument.Parse(File.ReadAllBytes(path)).RootElement;
}
