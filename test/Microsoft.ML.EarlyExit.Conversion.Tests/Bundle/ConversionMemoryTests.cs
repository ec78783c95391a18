using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Weights pass through; they are never held.</summary>
public sealed class ConversionMemoryTests
{
    /// <summary>What conversion allocates for buffers and graphs, whatever the weights' size.</summary>
    private const long Buffers = 40 << 20;

    [Fact]
    public void Larger_weights_do_not_take_more_memory()
    {
        using var folder = new TemporaryFolder();
        long small = Allocated(folder, "small", vocabulary: 1000, feedForward: 200);
        long large = Allocated(folder, "large", vocabulary: 60_000, feedForward: 8000);
        long grown = Weights("large") - Weights("small");
        Assert.True(grown > 90 << 20);
        Assert.True(large - small < Buffers, $"{large - small} bytes more were allocated for {grown} more of weights.");
        TestContext.Current.TestOutputHelper?.WriteLine($"small {small:N0}, large {large:N0} for {grown:N0} bytes more");

        long Weights(string name) => new FileInfo(folder.File(Path.Combine(name, "bundle", "weights.bin"))).Length;
    }

    [Fact]
    public void A_checkpoint_of_400_MB_takes_little_memory()
    {
        if (Environment.GetEnvironmentVariable("EARLYEXIT_HEAVY") != "1")
            Assert.Skip("Set EARLYEXIT_HEAVY=1 to convert a checkpoint of 400 MB.");
        using var folder = new TemporaryFolder();
        SparseCheckpoint.Write(folder.File("source"), TinyCheckpoint.Sizes with
        {
            VocabularySize = 32128,
            ModelDimension = 768,
            KeyValueDimension = 64,
            HeadCount = 12,
            FeedForwardDimension = 3072,
            EncoderLayerCount = 12,
            DecoderLayerCount = 12,
            RelativeAttentionBucketCount = 32,
            RelativeAttentionMaxDistance = 128,
        });
        Assert.True(new FileInfo(folder.File(Path.Combine("source", "model.safetensors"))).Length > 400 << 20);
        using Process process = Process.GetCurrentProcess();
        long before = process.PrivateMemorySize64;
        long most = before;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        T5Converter.Convert(folder.File("source"), folder.File("bundle"), new T5ConversionOptions
        {
            Progress = new Watch(() =>
        {
            process.Refresh();
            most = Math.Max(most, process.PrivateMemorySize64);
        })
        });
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        TestContext.Current.TestOutputHelper?.WriteLine($"allocated {allocated:N0}, private memory {most - before:N0} more at most");
        Assert.InRange(allocated, 0, Buffers);
        Assert.InRange(most - before, long.MinValue, 3 * Buffers);
    }

    private static long Allocated(TemporaryFolder folder, string name, int vocabulary, int feedForward)
    {
        string source = folder.File(Path.Combine(name, "source"));
        SparseCheckpoint.Write(source, TinyCheckpoint.Sizes with { VocabularySize = vocabulary, ModelDimension = 256, FeedForwardDimension = feedForward });
        long before = GC.GetAllocatedBytesForCurrentThread();
        T5Converter.Convert(source, folder.File(Path.Combine(name, "bundle")));
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private sealed class Watch(Action look) : IProgress<double>
    {
        public void Report(double value) => look();
    }
}
