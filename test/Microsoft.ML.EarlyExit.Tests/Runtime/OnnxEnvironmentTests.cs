namespace Microsoft.ML.EarlyExit.Tests;

public sealed class OnnxEnvironmentTests
{
    private static readonly Dictionary<string, string> s_plain = new() { ["ORT_DISABLE_TELEMETRY"] = "" };

    private static readonly Lazy<(string Ids, int Threads)> s_alone = new(() =>
    {
        using var process = new RuntimeProcess(s_plain, "load:1");
        Assert.Empty(process.Warnings);
        return (Assert.Single(process.Ids), process.Threads.Count == 0 ? 0 : process.Threads[0]);
    });

    [Fact]
    public void A_second_model_uses_the_pool_of_the_first_and_says_so()
    {
        using var process = new RuntimeProcess(s_plain, "load:2", "load:128", "load:2");
        Assert.Equal([s_alone.Value.Ids, s_alone.Value.Ids, s_alone.Value.Ids], process.Ids);
        string warning = Assert.Single(process.Warnings);
        Assert.Contains("2 threads, not 128", warning, StringComparison.Ordinal);
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Threads are counted in /proc.");
        // One more than with a pool of one; a few of the runtime's own come and go.
        Assert.All(process.Threads, threads => Assert.InRange(threads, s_alone.Value.Threads - 3, s_alone.Value.Threads + 6));
    }

    [Theory]
    [InlineData("host")]
    [InlineData("context")]
    public void A_model_runs_in_an_environment_that_something_else_made(string first)
    {
        using var process = new RuntimeProcess(s_plain, first, "load:128");
        Assert.Equal(s_alone.Value.Ids, Assert.Single(process.Ids));
        Assert.Contains(process.Warnings, warning => warning.Contains("no shared threads", StringComparison.Ordinal));
        Assert.Contains(process.Warnings, warning => warning.Contains("telemetry is as the application set it", StringComparison.Ordinal));
        if (first == "context")
            Assert.Equal(["False"], process.Values("created"));
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Threads are counted in /proc.");
        // The tiny model has 25 sessions at most; without a limit each of them would have 127 threads.
        Assert.InRange(process.Threads[0], 1, s_alone.Value.Threads + (25 * 8));
    }

    [Fact]
    public void Where_the_process_was_started_without_telemetry_there_is_nothing_to_warn_of()
    {
        using var process = new RuntimeProcess(new Dictionary<string, string> { ["ORT_DISABLE_TELEMETRY"] = "1" }, "host", "load");
        Assert.DoesNotContain(process.Warnings, warning => warning.Contains("telemetry", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData]
    [InlineData("host")]
    public async Task What_the_runtime_refuses_is_in_the_exception_and_not_on_standard_error(params string[] first)
    {
        using var process = new RuntimeProcess(s_plain, [.. first, "refused"]);
        Assert.Contains("Reshape", Assert.Single(process.Values("refused")), StringComparison.Ordinal);
        Assert.Equal("", await process.EndAsync());
    }
}
