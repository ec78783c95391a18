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
            Assert.Contains($"'{output}.partial': the same command with --resume goes on from there.", messages);
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

        using Process process = StartProgram(
            Path.Combine(program, Path.GetFileName(typeof(EarlyExitTool).Assembly.Location)), "generate", models.Tiny, "--text", "a");
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await WaitForExit(process);
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("Add the package Microsoft.ML.OnnxRuntime (CPU) or Microsoft.ML.OnnxRuntime.Gpu", error);
    }

    [Theory]
    [InlineData("2>/dev/full")]
    [InlineData("2>&-")]
    [InlineData("0<&- 2>&-")]
    public async Task Standard_error_that_cannot_be_written_changes_no_exit_code(string redirection)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Redirects to /dev/full.");
        File.WriteAllLines(_folder.File("in.jsonl"), Enumerable.Range(0, 3).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 1]}"""));
        Assert.Equal(0, (await RunInShell(
            redirection, "generate", models.Tiny, "--input", _folder.File("in.jsonl"), "--output", _folder.File("out.jsonl"))).Code);
        Assert.Equal(3, File.ReadAllLines(_folder.File("out.jsonl")).Length);
        Assert.Equal(1, (await RunInShell(redirection, "generate", _folder.File("none"), "--text", "a")).Code);
        Assert.Equal(2, (await RunInShell(redirection, "generate")).Code);
    }

    [Theory]
    [InlineData(">/dev/full", "No space left on device")]
    [InlineData(">&-", "it is closed")]
    public async Task Standard_output_that_cannot_be_written_is_a_failure_that_says_why(string redirection, string reason)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Redirects to /dev/full.");
        foreach (string[] arguments in new[] { ["inspect", models.Tiny], ["--help"], new[] { "generate", models.Tiny, "--text", "a" } })
        {
            (int code, _, string error) = await RunInShell(redirection, arguments);
            Assert.Equal(1, code);
            Assert.Contains($"Standard output cannot be written: {reason}.", error);
            Assert.DoesNotContain("   at ", error);
        }
    }

    [Fact]
    public async Task A_reader_that_leaves_ends_the_command_with_zero()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Runs a pipe in a shell.");
        // So many rows that nobody would wait for the last.
        File.WriteAllLines(
            _folder.File("in.jsonl"),
            Enumerable.Repeat("""{"inputIds": [5, 6, 7, 1], "targetIds": [5, 1], "prediction": "a", "reference": "a"}""", 1_000_000));
        string rows = _folder.File("in.jsonl");
        foreach (string[] arguments in new[]
        {
            ["generate", models.Tiny, "--input", rows], ["score", models.Tiny, "--input", rows], ["evaluate", "rouge", "--input", rows, "--rows", "-"],
            ["inspect", models.Tiny], new[] { "--help" },
        })
        {
            (int code, string output, string error) = await RunInShell("| head -1", arguments);
            Assert.Equal((0, ""), (code, error));
            Assert.Single(output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        }
    }

    [Fact]
    public async Task Rows_come_from_standard_input()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Redirects in a shell.");
        File.WriteAllText(_folder.File("in.jsonl"), """{"id": 7, "inputIds": [5, 1]}""");
        (int code, string output, _) = await RunInShell($"<{_folder.File("in.jsonl")}", "generate", models.Tiny, "--input", "-");
        Assert.Equal((0, 7), (code, Assert.Single(ToolResult.ParseRows(output)).GetProperty("id").GetInt32()));
    }

    [Fact]
    public async Task Closed_standard_input_is_a_failure_that_says_so()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Redirects in a shell.");
        (int code, string output, string error) = await RunInShell("<&-", "generate", models.Tiny, "--input", "-");
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("Standard input cannot be read: it is closed.", error);
        Assert.Equal(1, (await RunInShell("<&-", "evaluate", "rouge", "--input", "-")).Code);
    }

    [Fact]
    public async Task Bash_completes_commands_options_and_values()
    {
        Assert.SkipUnless(File.Exists("/bin/bash") || File.Exists("/usr/bin/bash"), "There is no bash.");
        string script = $$"""
            early-exit() { dotnet '{{typeof(EarlyExitTool).Assembly.Location}}' "$@"; }
            eval "$(early-exit completion bash)"
            for COMP_LINE in 'early-exit gen' 'early-exit generate b --con' 'early-exit generate b --confidence ' 'early-exit generate b --pruning d' 'early-exit evaluate c' 'early-exit inspect '; do
                COMP_POINT=${#COMP_LINE}; COMPREPLY=(); _early_exit; echo "${COMPREPLY[*]}"
            done
            complete -p early-exit
            """;
        using Process bash = StartRedirected("bash", "--noprofile", "--norc", "-c", script);
        string output = await bash.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await WaitForExit(bash);
        Assert.Equal(
            "generate\n--confidence\nclassifier hiddenStateSaturation jsdContrastive softmaxMargin weightedContrastive\ndecaying\nchrf\n\n"
            + "complete -o default -F _early_exit early-exit\n",
            output);
    }

    /// <summary>Runs the tool with something of a shell's after it.</summary>
    private async Task<(int Code, string Output, string Error)> RunInShell(string rest, params string[] arguments)
    {
        // The tool's own exit code, also where a pipe stands behind it.
        string code = _folder.File("code");
        using Process process = StartRedirected(
            "sh", ["-c", $$"""{ "$@"; echo $? >"$0"; } {{rest}}""", code, "dotnet", typeof(EarlyExitTool).Assembly.Location, .. arguments]);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await WaitForExit(process);
        return (int.Parse(File.ReadAllText(code), CultureInfo.InvariantCulture), output, await error);
    }

    private static Process Start(params string[] arguments) => StartProgram(typeof(EarlyExitTool).Assembly.Location, arguments);

    private static Process StartProgram(string program, params string[] arguments) => StartRedirected("dotnet", [program, .. arguments]);

    private static Process StartRedirected(string file, params string[] arguments) => Process.Start(new ProcessStartInfo(file, arguments)
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
    internal static bool IsInterruptIgnored()
    {
        if (!OperatingSystem.IsLinux())
            return false;
        string? mask = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
        return mask is not null && (ulong.Parse(mask.AsSpan(7).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 2) != 0;
    }
}
