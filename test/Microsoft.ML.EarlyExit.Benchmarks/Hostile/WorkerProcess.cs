using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>A child process that takes one input after the other, watched for time and memory, and started again after its death.</summary>
internal sealed class WorkerProcess(string seeds, string folder, TimeSpan limit) : IDisposable
{
    /// <summary>Above it an input counts as one that takes too much.</summary>
    public const long LargestBytes = 1L << 30;

    /// <summary>Above it the process is killed, for the machine's sake.</summary>
    private const long DeadlyBytes = 2L << 30;

    /// <summary>Above it a worker that is idle is replaced: what it keeps would count for every later input.</summary>
    private const long IdleBytes = 500L << 20;

    private const int InputsPerProcess = 2000;
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(20);

    private Process? _process;
    private Task<string> _messages = Task.FromResult("");
    private int _inputs;

    /// <summary>How often a worker was replaced because it had grown.</summary>
    public int Growths { get; private set; }

    /// <summary>Where the input lies that was given last.</summary>
    public string InputFolder => Path.Combine(folder, "input");

    /// <summary>Gives one input to the worker.</summary>
    public HostileResult Take(string kind, ulong seed)
    {
        Process process = Start();
        _inputs++;
        var watch = Stopwatch.StartNew();
        process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{kind} {seed:x16}"));
        string? changes = ReadLine(process, watch, out HostileOutcome? end);
        if (changes is not null)
            watch.Restart();
        string? answer = changes is null ? null : ReadLine(process, watch, out end);
        TimeSpan time = watch.Elapsed;
        changes = changes is null ? "not yet made" : JsonSerializer.Deserialize<string>(changes)!;
        if (answer is null)
        {
            process.Refresh();
            long bytes = process.HasExited ? 0 : process.WorkingSet64;
            (int code, string messages) = Kill();
            // What a process said that had to be killed was said of other inputs.
            (string type, string message) = end == HostileOutcome.Crash ? ($"exit code {code}", messages.Trim()) : ("", "");
            return new HostileResult(kind, seed, changes, new HostileAnswer(end!.Value, type, message, "", bytes, ""), time);
        }

        HostileAnswer given = JsonSerializer.Deserialize<HostileAnswer>(answer)!;
        if (given.PeakBytes > LargestBytes)
            given = given with { Outcome = HostileOutcome.Memory, Message = $"{given.PeakBytes >> 20} MB, {given.Outcome} {given.Type}: {given.Message}" };
        process.Refresh();
        if (process.WorkingSet64 > IdleBytes)
        {
            Growths++;
            Dispose();
        }
        else if (_inputs == InputsPerProcess)
        {
            Dispose();
        }

        return new HostileResult(kind, seed, changes, given, time);
    }

    public void Dispose()
    {
        if (_process is null)
            return;
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(5)))
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
        _process = null;
    }

    private string? ReadLine(Process process, Stopwatch watch, out HostileOutcome? end)
    {
        Task<string?> reading = process.StandardOutput.ReadLineAsync();
        while (!reading.Wait(s_poll))
        {
            process.Refresh();
            end = watch.Elapsed > limit ? HostileOutcome.Hang : !process.HasExited && process.WorkingSet64 > DeadlyBytes ? HostileOutcome.Memory : null;
            if (end is not null)
                return null;
        }

        end = reading.Result is null ? HostileOutcome.Crash : null;
        return reading.Result;
    }

    private Process Start()
    {
        if (_process is not null)
            return _process;
        string temporary = Directory.CreateDirectory(Path.Combine(folder, "temporary")).FullName;
        string program = Environment.ProcessPath!;
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
            start.ArgumentList.Add(typeof(WorkerProcess).Assembly.Location);
        foreach (string argument in (string[])["hostile-worker", seeds, folder])
            start.ArgumentList.Add(argument);
        foreach (string variable in (string[])["TMPDIR", "TEMP", "TMP"])
            start.Environment[variable] = temporary;
        // The pipe of .NET's diagnostics would lie among what inputs leave.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        _inputs = 0;
        _process = Process.Start(start)!;
        _messages = Tail(_process.StandardError);
        return _process;
    }

    private (int Code, string Messages) Kill()
    {
        Process process = _process!;
        _process = null;
        // One that has died by itself needs a moment to be known as dead.
        if (!process.WaitForExit(TimeSpan.FromMilliseconds(200)))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }

        int code = process.ExitCode;
        string messages = _messages.Wait(TimeSpan.FromSeconds(2)) ? _messages.Result : "";
        process.Dispose();
        return (code, messages);
    }

    /// <summary>The last lines of what a process says on standard error.</summary>
    private static async Task<string> Tail(StreamReader reader)
    {
        var lines = new Queue<string>();
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            lines.Enqueue(line);
            if (lines.Count > 40)
                lines.Dequeue();
        }

        return string.Join('\n', lines);
    }
}
