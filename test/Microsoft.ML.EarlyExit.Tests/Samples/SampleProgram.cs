using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A sample as its readers run it, in a process of its own that ends with this object at the latest.</summary>
internal sealed class SampleProgram : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly Process _process;

    private SampleProgram(Process process) => _process = process;

    /// <summary>How all samples generate.</summary>
    public static TextGenerationOptions Options { get; } = new() { Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } };

    public StreamReader Output => _process.StandardOutput;

    public int ExitCode => _process.ExitCode;

    public bool HasExited => _process.HasExited;

    /// <summary>What a sample generates for a text, by the library alone.</summary>
    public static string Expected(string text) => TestModels.Model(TestModels.Demo).Generate(text, Options).Text!;

    /// <summary>Ends what waits too long, and with the test.</summary>
    public static CancellationTokenSource Patience()
    {
        var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(s_patience);
        return patience;
    }

    public static SampleProgram Start(string name, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        // The same configuration as this test's: …/bin/Release/net10.0.
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;
        string program = Path.Combine(Repository.Folder, "samples", name, "bin", configuration, "net10.0", $"{name}.dll");
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8 };
        foreach ((string variable, string value) in environment)
            start.Environment[variable] = value;
        return new SampleProgram(Process.Start(start)!);
    }

    /// <summary>Runs a sample to its end.</summary>
    /// <returns>Its exit code and what it wrote.</returns>
    public static async Task<(int ExitCode, string Output)> Run(string name, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        using SampleProgram program = Start(name, arguments, environment);
        using CancellationTokenSource patience = Patience();
        string output = await program.Output.ReadToEndAsync(patience.Token);
        await program.WaitForExit();
        return (program.ExitCode, output);
    }

    /// <summary>Sends a signal, INT or TERM.</summary>
    public async Task Signal(string signal)
    {
        using CancellationTokenSource patience = Patience();
        using Process kill = Process.Start("kill", [$"-{signal}", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync(patience.Token);
    }

    public async Task WaitForExit()
    {
        using CancellationTokenSource patience = Patience();
        await _process.WaitForExitAsync(patience.Token);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }
}
