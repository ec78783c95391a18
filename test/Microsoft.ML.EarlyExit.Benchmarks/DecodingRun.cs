using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Runs <see cref="DecodingBenchmarks"/> and holds its figures against what is promised.</summary>
internal static class DecodingRun
{
    private const double LeastBatchGain = 3.5;

    public static int Run(string[] models)
    {
        if (models.Length > 0)
            DecodingBenchmarks.Models = models;
        Job job = Job.Default.WithToolchain(InProcessEmitToolchain.DontLogOutput).WithLaunchCount(1).WithWarmupCount(2).WithIterationCount(8)
            .WithInvocationCount(DecodingBenchmarks.StepsPerIteration).WithUnrollFactor(1);
        Summary summary = BenchmarkRunner.Run<DecodingBenchmarks>(DefaultConfig.Instance.AddJob(job).WithOptions(ConfigOptions.DisableOptimizationsValidator));

        bool isKept = true;
        foreach (BenchmarkReport report in summary.Reports)
        {
            double tokens = 1e9 * Parameter<int>(report, "Batch") / report.ResultStatistics!.Median;
            long allocated = report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase) ?? -1;
            Console.WriteLine($"{report.BenchmarkCase.Parameters.DisplayInfo}: {tokens:F1} tokens/s, {allocated} bytes allocated per step");
            isKept &= allocated == 0;
        }

        foreach (IGrouping<(string Model, string Depth), BenchmarkReport> pair in summary.Reports
            .GroupBy(report => (Parameter<string>(report, "Model"), Parameter<string>(report, "Depth"))))
        {
            double gain = 8 * Median(pair, 1) / Median(pair, 8);
            Console.WriteLine($"{pair.Key}: batch 8 gives {gain:F2} times the tokens per second of batch 1");
            if (pair.Key == (BenchmarkModels.Large, "full"))
                isKept &= gain >= LeastBatchGain;
        }

        Console.WriteLine(isKept
            ? "All promises are kept."
            : $"A promise is broken: no allocation per step, and {LeastBatchGain} times at batch 8 on the large shape at full depth.");
        return isKept ? 0 : 1;
    }

    private static double Median(IEnumerable<BenchmarkReport> reports, int batch) =>
        reports.Single(report => Parameter<int>(report, "Batch") == batch).ResultStatistics!.Median;

    private static T Parameter<T>(BenchmarkReport report, string name) => (T)report.BenchmarkCase.Parameters[name];
}
