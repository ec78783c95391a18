namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Reads stack traces.</summary>
internal static class StackTraces
{
    private const string Library = "at Microsoft.ML.EarlyExit.";
    private const string Campaign = Library + "Benchmarks.";

    /// <summary>The innermost method of the library in a stack trace; empty where there is none.</summary>
    public static string Place(string? stack) => (stack ?? "").Split('\n', StringSplitOptions.TrimEntries)
        .Where(line => line.StartsWith(Library, StringComparison.Ordinal) && !line.StartsWith(Campaign, StringComparison.Ordinal))
        .Select(line => line[3..].Split(" in ")[0].Split('(')[0])
        .FirstOrDefault() ?? "";
}
