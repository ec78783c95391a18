using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class MemoryBandwidthTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100_000)]
    [InlineData(10_000_000)]
    public void Every_word_of_the_buffer_is_read_once(long bytes)
    {
        ModelSessions sessions = TestModels.Model("tiny-v10").Sessions;
        using var bandwidth = new MemoryBandwidth(sessions.ThreadPool, sessions.ThreadCount, bytes);
        Assert.InRange(bandwidth.Measure(), double.Epsilon, double.MaxValue);
        Assert.InRange(bandwidth.Bytes, Math.Max(1, bytes / 2), bytes + 100_000);
        Assert.Equal((ulong)bandwidth.Bytes / sizeof(ulong), bandwidth.Sum);
    }
}
