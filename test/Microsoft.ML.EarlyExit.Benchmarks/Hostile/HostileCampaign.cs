using System.Globalization;
using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// Sound files of every kind the library reads, changed at random and given to it in child processes: nothing may end in an exception that is not documented, a
/// dead process, more than twenty seconds, or more than a gigabyte.
/// </summary>
internal static class HostileCampaign
{
    private const int DefaultCount = 10_000;
    private const int DefaultSeed = 1;
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    /// <summary>Runs a campaign, or with <c>--only KIND:SEED</c> one input of it.</summary>
    /// <param name="arguments">[COUNT] [SEED] [--workers N] [--kind KIND] [--only KIND:SEED].</param>
    /// <returns>1 where something failed, 2 where the arguments are wrong.</returns>
    public static int Run(string[] arguments)
    {
        var numbers = new List<int>();
        (int workers, string? kind, string? only) = (1, null, null);
        for (int index = 0; index < arguments.Length; index++)
        {
            switch (arguments[index])
            {
                case "--workers" when index + 1 < arguments.Length:
                    workers = int.Parse(arguments[++index], CultureInfo.InvariantCulture);
                    break;
                case "--kind" when index + 1 < arguments.Length:
                    kind = arguments[++index];
                    break;
                case "--only" when index + 1 < arguments.Length:
                    only = arguments[++index];
                    break;
                case var number when int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int value):
                    numbers.Add(value);
                    break;
                default:
                    Console.Error.WriteLine("hostile [COUNT] [SEED] [--workers N] [--kind KIND], or hostile --only KIND:SEED");
                    return 2;
            }
        }

        string folder = Directory.CreateTempSubdirectory("early-exit-hostile-").FullName;
        string seeds = Path.Combine(folder, "seeds");
        HostileSeeds.Make(seeds);
        if (only is not null)
            return RunOne(seeds, Path.Combine(folder, "only"), only);
        try
        {
            int count = numbers.Count > 0 ? numbers[0] : DefaultCount;
            return RunAll(seeds, folder, Plan(seeds, count, numbers.Count > 1 ? numbers[1] : DefaultSeed, kind), workers);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The inputs of a campaign, their kinds mixed.</summary>
    private static List<(string Kind, ulong Seed)> Plan(string seeds, int count, int campaign, string? only)
    {
        var plan = new List<(string Kind, ulong Seed)>();
        foreach (HostileKind kind in HostileKinds.All(new HostileSeeds(seeds)))
        {
            int share = only is null ? (int)((long)count * kind.Share / 100) : only == kind.Name ? count : 0;
            for (int index = 0; index < share; index++)
                plan.Add((kind.Name, HostileRandom.Seed(campaign, kind.Name, index)));
        }

        return [.. plan.OrderBy(input => input.Seed)];
    }

    private static int RunAll(string seeds, string folder, List<(string Kind, ulong Seed)> plan, int workerCount)
    {
        var report = new HostileReport();
        int next = 0;
        // Ended early, as by timeout(1), it still says what came of the inputs so far.
        using PosixSignalRegistration end = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            Interlocked.Exchange(ref next, plan.Count);
        });
        WorkerProcess[] workers = [.. Enumerable.Range(0, Math.Max(1, workerCount)).Select(index =>
            new WorkerProcess(seeds, Path.Combine(folder, $"worker{index}"), s_limit))];
        Thread[] threads = [.. workers.Select(worker => new Thread(() =>
        {
            for (int index; (index = Interlocked.Increment(ref next) - 1) < plan.Count;)
                report.Add(worker.Take(plan[index].Kind, plan[index].Seed));
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        foreach (WorkerProcess worker in workers)
            worker.Dispose();
        report.Write(workers.Sum(worker => worker.Growths));
        return report.HasFailures ? 1 : 0;
    }

    private static int RunOne(string seeds, string folder, string name)
    {
        string[] parts = name.Split(':');
        using var worker = new WorkerProcess(seeds, folder, s_limit);
        HostileResult result = worker.Take(parts[0], ulong.Parse(parts[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture));
        Console.WriteLine(
            $"{result.Name}, {result.Changes}: {result.Answer.Outcome} {result.Answer.Type} "
            + $"after {result.Time.TotalSeconds:F1} s, {result.Answer.PeakBytes >> 20} MB");
        Console.WriteLine(result.Answer.Message);
        Console.WriteLine(result.Answer.Stack);
        if (result.Answer.Left.Length > 0)
            Console.WriteLine($"Left in the temporary folder: {result.Answer.Left}");
        Console.WriteLine($"The input is {worker.InputFolder}");
        return result.IsFailure ? 1 : 0;
    }
}
