using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The tool as a process of its own.</summary>
public sealed class ProcessTests(ConvertedModels models) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Rows_come_as_utf8_and_usage_errors_give_two()
    {
        File.WriteAllText(_folder.File("in.jsonl"), """{"id": "é日", "inputIds": [1]}""");
        using Process process = Start("generate", models.Tiny, "--input", _folder.File("in.jsonl"));
        using var output = new MemoryStream();
        await process.StandardOutput.BaseStream.CopyToAsync(output, TestContext.Current.CancellationToken);
        await WaitForExit(process);
        Assert.Equal(0, process.ExitCode);
        Assert.True(output.ToArray().AsSpan().StartsWith("""{"id":"é日","text":null,"""u8));

        using Process wrong = Start("generate", models.Tiny);
        await WaitForExit(wrong);
        Assert.Equal(2, wrong.ExitCode);
    }

    [Fact]
    public async Task Control_c_keeps_finished_rows_beside_the_output()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Sends SIGINT with kill.");
        Assert.SkipWhen(IsInterruptIgnored(), "Processes started from here ignore SIGINT.");
        string output = _folder.File("out.jsonl");
        // So many rows that the signal comes long before the end.
        File.WriteAllLines(_folder.File("in.jsonl"), Enumerable.Range(0, 100_000).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 6, 7, 1]}"""));
        using Process process = Start("generate", models.Tiny, "--input", _folder.File("in.jsonl"), "--output", output);
        try
        {
            Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            var watch = Stopwatch.StartNew();
            while (!process.HasExited && watch.Elapsed < s_patience && !(File.Exists(output + ".partial") && new FileInfo(output + ".partial").Length > 0))
                await Task.Delay(20, TestContext.Current.CancellationToken);
            Assert.False(process.HasExited);
            using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]))
                await WaitForExit(kill);
            await WaitForExit(process);
            Assert.Equal(130, process.ExitCode);
            Assert.False(File.Exists(output));
            JsonElement[] rows = ToolResult.ParseRows(File.ReadAllText(output + ".partial"));
            Assert.InRange(rows.Length, 1, 99_999);
            Assert.Equal(Enumerable.Range(0, rows.Length), rows.Select(row => row.GetProperty("id").GetInt32()));
            string messages = await error;
            Assert.Contains(rows.Length == 1 ? "1 row " : $"{rows.Length} rows ", messages);
            Assert.Contains($"'{output}.partial'", messages);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    [Fact]
    public async Task Missing_native_library_names_the_packages_to_add()
    {
        // The program as it is built, but for the native half of ONNX Runtime.
        string program = _folder.File("program");
        Directory.CreateDirectory(program);
        foreach (string file in Directory.GetFiles(Path.GetDirectoryName(typeof(EarlyExitTool).Assembly.Location)!))
        {
            if (!Path.GetFileName(file).Contains("onnxruntime", StringComparison.Ordinal))
                File.Copy(file, Path.Combine(program, Path.GetFileName(file)));
        }

        using Process process = StartProgram(Path.Combine(program, Path.GetFileName(typeof(EarlyExitTool).Assembly.Location)), "generate", models.Tiny, "--text", "a");
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await WaitForExit(process);
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("Add the package Microsoft.ML.OnnxRuntime (CPU) or Microsoft.ML.OnnxRuntime.Gpu", error);
    }

    private static Process Start(params string[] arguments) => StartProgram(typeof(EarlyExitTool).Assembly.Location, arguments);

    private static Process StartProgram(string program, params string[] arguments) => Process.Start(new ProcessStartInfo("dotnet", [program, .. arguments])
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        StandardErrorEncoding = Encoding.UTF8,
    })!;

    private static async Task WaitForExit(Process process)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(s_patience);
        await process.WaitForExitAsync(patience.Token);
    }

    /// <summary>A shell's background jobs ignore SIGINT, and so do their children.</summary>
    private static bool IsInterruptIgnored()
    {
        string? mask = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
        return mask is not null && (ulong.Parse(mask.AsSpan(7).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 2) != 0;
    }
}
