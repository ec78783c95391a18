using System.Globalization;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What one row takes at its peak, as Linux counts it, against the estimate that is held against the limit; and how long a call goes on that is
/// cancelled.</summary>
internal static class RowMemoryTable
{
    private const double MostOver = 1.1;

    public static int Run(string name)
    {
        bool isKept = true;
        Console.WriteLine("| part | input ids | target ids | measured, MB | estimated, MB | seconds | longest operator, s |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        foreach (int length in new[] { 512, 1024, 2048, 4096 })
        {
            // Every row in sessions of its own: they keep the memory that a row has needed.
            using (EarlyExitModel model = BenchmarkModels.Load(name))
            {
                Encode(model, 16, default)!.Dispose();
                long before = Begin();
                var watch = System.Diagnostics.Stopwatch.StartNew();
                using EncodedInput? encoded = Encode(model, length, default);
                Report("encoder", length, 0, Peak() - before, RowMemory.Encoder(model.Bundle, length), watch.Elapsed, Cancelled(model, length, watch.Elapsed));
            }

            if (length > 2048)
                continue;
            using (EarlyExitModel model = BenchmarkModels.Load(name))
            using (var run = new RunOptions())
            using (EncodedInput encoded = Encode(model, length, default)!)
            using (var decoder = new TeacherForcedDecoder(model.Sessions, model.Configuration, run))
            {
                using (EncodedInput shortInput = Encode(model, 16, default)!)
                    decoder.Decode(shortInput, Ids(16));
                long before = Begin();
                var watch = System.Diagnostics.Stopwatch.StartNew();
                decoder.Decode(encoded, Ids(length));
                Report(
                    "decoder over a target", length, length, Peak() - before,
                    RowMemory.TeacherForcedDecoder(model.Bundle, length, length, onDevice: false), watch.Elapsed, null);
            }
        }

        Console.WriteLine(isKept ? "All promises are kept." : $"A row took more than {MostOver} times the estimate.");
        return isKept ? 0 : 1;

        void Report(string part, int input, int target, long measured, long estimated, TimeSpan whole, TimeSpan? longest)
        {
            isKept &= measured <= MostOver * estimated;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {part} | {input} | {target} | {measured >> 20} | {estimated >> 20} | {whole.TotalSeconds:F2} | {longest?.TotalSeconds:F2} |"));
        }
    }

    /// <summary>The longest time, of twenty, that a run went on after it was told to stop.</summary>
    private static TimeSpan Cancelled(EarlyExitModel model, int length, TimeSpan whole)
    {
        TimeSpan longest = default;
        for (int at = 1; at <= 20; at++)
        {
            using var source = new CancellationTokenSource();
            long asked = 0;
            using var timer = new Timer(
                _ =>
                {
                    asked = System.Diagnostics.Stopwatch.GetTimestamp();
                    source.Cancel();
                },
                null, whole * at / 21, Timeout.InfiniteTimeSpan);
            using EncodedInput? done = Encode(model, length, source.Token);
            if (done is null && System.Diagnostics.Stopwatch.GetElapsedTime(asked) is var passed && passed > longest)
                longest = passed;
        }

        return longest;
    }

    private static int[] Ids(int length) => [.. Enumerable.Range(0, length).Select(index => 3 + (index % 200))];

    private static EncodedInput? Encode(EarlyExitModel model, int length, CancellationToken cancellationToken)
    {
        using var run = new RunOptions();
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, run);
        try
        {
            return EncodedInput.Encode(model.Sessions.Encoder, Ids(length), model.Configuration.ModelDimension, run);
        }
        catch (OnnxRuntimeException) when (cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Sets the peak to what the process has now.</summary>
    private static long Begin()
    {
        File.WriteAllText("/proc/self/clear_refs", "5");
        return Status("VmRSS");
    }

    private static long Peak() => Status("VmHWM");

    private static long Status(string name)
    {
        string line = File.ReadLines("/proc/self/status").Single(line => line.StartsWith(name + ':', StringComparison.Ordinal));
        return long.Parse(line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }
}
