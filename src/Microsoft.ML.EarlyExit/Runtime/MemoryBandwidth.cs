using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>How fast all threads of a model together read memory: a sum over a buffer that no cache holds. A step cannot read its weights faster.</summary>
internal sealed unsafe class MemoryBandwidth : IDisposable
{
    private const long LeastBytes = 512L << 20;
    private const int CachesPerBuffer = 8;
    private const int SharesOfFreeMemory = 4;
    private const int Passes = 3;

    // As the head's products: a thread that starts late takes fewer.
    private const int ChunksPerThread = 4;

    // Vectors that are added side by side, each to a sum of its own.
    private const int Unrolled = 8;

    private readonly OnnxThreadPool.Lane _lane;
    private readonly NativeBuffer _buffer;
    private readonly NativeBuffer _sums;
    private readonly int _chunks;
    private readonly long _vectors;

    /// <summary>Takes the buffer, which is several times the size of the largest cache, and less where memory is short.</summary>
    public MemoryBandwidth(OnnxThreadPool threadPool, int threadCount)
        : this(threadPool, threadCount, Math.Min(Math.Max(LeastBytes, CachesPerBuffer * LargestCache()), FreeMemory() / SharesOfFreeMemory))
    {
    }

    /// <summary>As the other, with a buffer of about a given size.</summary>
    internal MemoryBandwidth(OnnxThreadPool threadPool, int threadCount, long bytes)
    {
        _chunks = ChunksPerThread * threadCount;
        _vectors = Math.Max(1, bytes / _chunks / sizeof(Vector512<ulong>) / Unrolled) * Unrolled;
        _buffer = new NativeBuffer(_chunks * _vectors * sizeof(Vector512<ulong>));
        _sums = new NativeBuffer(_chunks * sizeof(ulong));
        _lane = threadPool.CreateLane();
        // Pages that were never written are all the same one.
        Run(&FillChunk);
    }

    /// <summary>Bytes that one pass reads.</summary>
    public long Bytes => _buffer.Bytes;

    /// <summary>The sum of the last measurement: one for every 64 bits.</summary>
    internal ulong Sum { get; private set; }

    /// <summary>Reads the buffer several times.</summary>
    /// <returns>Bytes a second of the fastest pass: what the machine can do, without what else it did meanwhile.</returns>
    public double Measure()
    {
        double best = 0;
        for (int pass = 0; pass < Passes; pass++)
        {
            long start = Stopwatch.GetTimestamp();
            Run(&SumChunk);
            best = Math.Max(best, Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        Sum = 0;
        foreach (ulong sum in _sums.Span<ulong>(0, _chunks))
            Sum += sum;
        return best;
    }

    public void Dispose()
    {
        _lane.Dispose();
        _buffer.Dispose();
        _sums.Dispose();
    }

    private void Run(delegate* unmanaged[Cdecl]<void*, nuint, void> body)
    {
        var job = new Job { Vectors = (Vector512<ulong>*)_buffer.Address, Sums = (ulong*)_sums.Address, Count = _vectors };
        _lane.Run(body, &job, _chunks);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void FillChunk(void* state, nuint chunk)
    {
        var job = (Job*)state;
        new Span<Vector512<ulong>>(job->Vectors + ((long)chunk * job->Count), checked((int)job->Count)).Fill(Vector512<ulong>.One);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void SumChunk(void* state, nuint chunk)
    {
        var job = (Job*)state;
        Vector512<ulong>* vector = job->Vectors + ((long)chunk * job->Count);
        Vector512<ulong>* end = vector + job->Count;
        Vector512<ulong> a = default, b = default, c = default, d = default, e = default, f = default, g = default, h = default;
        for (; vector < end; vector += Unrolled)
        {
            a += vector[0];
            b += vector[1];
            c += vector[2];
            d += vector[3];
            e += vector[4];
            f += vector[5];
            g += vector[6];
            h += vector[7];
        }

        job->Sums[chunk] = Vector512.Sum(a + b + c + d + (e + f + g + h));
    }

    /// <summary>The size of the largest cache; 0 where the system does not tell.</summary>
    private static long LargestCache()
    {
        const string Folder = "/sys/devices/system/cpu/cpu0/cache";
        if (!Directory.Exists(Folder))
            return 0;
        try
        {
            return Directory.GetDirectories(Folder, "index*").Select(index => Path.Combine(index, "size")).Where(File.Exists)
                .Select(file => File.ReadAllText(file).Trim().TrimEnd('K'))
                .Max(size => long.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes) ? kilobytes << 10 : 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            return 0;
        }
    }

    private static long FreeMemory()
    {
        // What is in use is known as of the last collection.
        GC.Collect();
        GCMemoryInfo memory = GC.GetGCMemoryInfo();
        return Math.Max(0, memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes);
    }

    private struct Job
    {
        public Vector512<ulong>* Vectors;
        public ulong* Sums;
        public long Count;
    }
}
