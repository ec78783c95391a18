using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The samples, run as their readers run them.</summary>
public sealed class SampleTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task The_first_sample_converts_generates_saves_and_loads()
    {
        // The same configuration as this test's: …/bin/Release/net10.0.
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;
        string program = Path.Combine(Repository.Folder, "samples", "GenerateText", "bin", configuration, "net10.0", "GenerateText.dll");
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [program]) { RedirectStandardOutput = true })!;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(s_patience);
        string output = await process.StandardOutput.ReadToEndAsync(patience.Token);
        await process.WaitForExitAsync(patience.Token);
        Assert.True(process.ExitCode == 0, output);
        Assert.Contains("loaded again: the same texts", output, StringComparison.Ordinal);
        Assert.Contains("Burger King", output, StringComparison.Ordinal);
    }
}
