using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>What one run of the tool left.</summary>
internal sealed record ToolResult(int ExitCode, string Output, string Error)
{
    /// <summary>The rows on standard output.</summary>
    public JsonElement[] Rows => ParseRows(Output);

    public static JsonElement[] ParseRows(string text)
    {
        Assert.True(text.Length == 0 || text.EndsWith('\n'), "The last row has no end.");
        return [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
    }

    /// <summary>Checks that the run failed with one line on standard error that holds these words.</summary>
    public void AssertFailed(int exitCode, params string[] words)
    {
        Assert.Equal((exitCode, ""), (ExitCode, Output));
        foreach (string word in words)
            Assert.Contains(word, Error, StringComparison.Ordinal);
        if (exitCode == 1)
            Assert.Single(Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
    }
}
