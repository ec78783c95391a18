using System.Diagnostics;
using System.Globalization;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A process that loads the tiny model in an environment of its own, and lives until this is disposed.</summary>
internal sealed class RuntimeProcess : IDisposable
{
    private readonly Process _process;
    private readonly Task<string> _errors;

    /// <param name="environment">Variables; an empty value removes one.</param>
    /// <param name="steps">What it does; see the program.</param>
    public RuntimeProcess(IEnumerable<KeyValuePair<string, string>> environment, params string[] steps)
    {
        // The same configuration as this test's: …/bin/Release/net10.0.
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;
        string program = Path.Combine(Repository.Folder, "test", "RuntimeProcess", "bin", configuration, "net10.0", "RuntimeProcess.dll");
        var start = new ProcessStartInfo("dotnet", [program, TestModels.Bundle(TestModels.Exits), .. steps])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
        {
            if (value.Length == 0)
                start.Environment.Remove(name);
            else
                start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
        var lines = new List<string>();
        while (_process.StandardOutput.ReadLine() is { } line && line != "done")
            lines.Add(line);
        Lines = lines;
    }

    /// <summary>What it printed.</summary>
    public IReadOnlyList<string> Lines { get; }

    /// <summary>The ids that its models generated.</summary>
    public IReadOnlyList<string> Ids => Values("ids");

    /// <summary>Its threads, counted after each generation.</summary>
    public IReadOnlyList<int> Threads => [.. Values("threads").Select(value => int.Parse(value, CultureInfo.InvariantCulture))];

    /// <summary>The warnings of its models.</summary>
    public IReadOnlyList<string> Warnings => Values("warning");

    public IReadOnlyList<string> Values(string name) =>
        [.. Lines.Where(line => line.StartsWith(name + ' ', StringComparison.Ordinal)).Select(line => line[(name.Length + 1)..])];

    /// <summary>Lets it end, and gives what it wrote to standard error.</summary>
    public Task<string> EndAsync()
    {
        _process.StandardInput.Close();
        return _errors;
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(60)))
            _process.Kill();
        _process.Dispose();
    }
}
