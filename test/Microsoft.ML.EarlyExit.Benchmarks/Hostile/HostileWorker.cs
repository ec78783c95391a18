using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>The child process: takes <c>KIND SEED</c> from standard input, and answers with a line of what it changed and one of what came of it.</summary>
internal static class HostileWorker
{
    public static int Run(string seeds, string folder)
    {
        // It ends with its standard input: a signal for the whole group of processes is no crash.
        using PosixSignalRegistration end = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => signal.Cancel = true);
        // What the library or ONNX Runtime print must not be taken for an answer.
        using var answers = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
        Console.SetOut(TextWriter.Null);
        string input = Path.Combine(folder, "input");
        Dictionary<string, HostileKind> kinds = HostileKinds.All(new HostileSeeds(seeds)).ToDictionary(kind => kind.Name);
        while (Console.In.ReadLine() is { } line)
        {
            string[] parts = line.Split(' ');
            HostileKind kind = kinds[parts[0]];
            ulong seed = ulong.Parse(parts[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (Directory.Exists(input))
                Directory.Delete(input, recursive: true);
            Directory.CreateDirectory(input);
            answers.WriteLine(JsonSerializer.Serialize(kind.Write(new HostileRandom(seed), input)));
            ResetPeak();
            HostileAnswer answer = Try(kind, seed, input) with { PeakBytes = Peak() };
            answers.WriteLine(JsonSerializer.Serialize(answer with { Left = CleanTemporaryFolder() }));
        }

        return 0;
    }

    private static HostileAnswer Try(HostileKind kind, ulong seed, string input)
    {
        try
        {
            string? rowError = kind.Receive(new HostileRandom(~seed), input);
            return new HostileAnswer(rowError is null ? HostileOutcome.Accepted : HostileOutcome.RowError, "", rowError ?? "", "", 0, "");
        }
        catch (RefusalException exception)
        {
            Exception refusal = exception.Refusal;
            return new HostileAnswer(HostileOutcome.Refused, refusal.GetType().Name, refusal.Message, refusal.ToString(), 0, "");
        }
        catch (Exception exception)
        {
            return new HostileAnswer(HostileOutcome.Undocumented, exception.GetType().Name, exception.Message, exception.ToString(), 0, "");
        }
    }

    private static void ResetPeak()
    {
        if (OperatingSystem.IsLinux())
            File.WriteAllText("/proc/self/clear_refs", "5");
    }

    private static long Peak()
    {
        if (!OperatingSystem.IsLinux())
            return 0;
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }

    /// <summary>The campaign gives every worker a temporary folder of its own.</summary>
    private static string CleanTemporaryFolder()
    {
        string[] left = Directory.GetFileSystemEntries(Path.GetTempPath());
        if (left.Length > 0)
        {
            // ML.NET forgets what it has loaded where a later part fails to load: what a finalizer deletes is not left.
            GC.Collect();
            GC.WaitForPendingFinalizers();
            left = Directory.GetFileSystemEntries(Path.GetTempPath());
        }

        foreach (string path in left)
        {
            if (Directory.Exists(path))
                Directory.Delete(path, recursive: true);
            else
                File.Delete(path);
        }

        return string.Join(", ", left.Select(Path.GetFileName));
    }
}
