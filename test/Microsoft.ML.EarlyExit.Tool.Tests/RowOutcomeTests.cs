using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>What scripts learn of failed rows: the exit code, the first reasons, and the whole output all the same.</summary>
public sealed class RowOutcomeTests(ConvertedModels models) : IDisposable
{
    private const string Good = """{"id": "g", "inputIds": [5, 1], "targetIds": [5, 1], "prediction": "a", "reference": "a", "exitLayers": [1]}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Commands { get; } = ["generate", "score", "evaluate"];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Where_no_row_succeeded_the_exit_code_is_one_and_the_output_complete(string command)
    {
        string output = _folder.File("out.jsonl");
        ToolResult result = Run(command, "--output", output, "bad", "{}", """{"id": 3}""", "[]", "7");

        Assert.Equal(1, result.ExitCode);
        string[] messages = result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("line 1: it is not valid JSON", messages[0]);
        Assert.StartsWith("line 2: it has neither", messages[1]);
        Assert.StartsWith("line 3: it has neither", messages[2]);
        Assert.Equal("… and 2 more.", messages[3]);
        Assert.Equal(5, messages.Length);
        Assert.False(File.Exists(output + ".partial"));
        if (command == "evaluate")
            Assert.Equal(5, JsonDocument.Parse(File.ReadAllText(output)).RootElement.GetProperty("badRows").GetInt32());
        else
            Assert.Equal(5, ToolResult.ParseRows(File.ReadAllText(output)).Length);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void One_row_that_succeeded_is_enough_unless_the_command_is_strict(string command)
    {
        Assert.Equal(0, Run(command, "bad", Good).ExitCode);
        ToolResult strict = Run(command, "--strict", "bad", Good);
        Assert.Equal(1, strict.ExitCode);
        Assert.StartsWith("line 1: it is not valid JSON", strict.Error);
        Assert.Equal(0, Run(command, "--strict", Good, Good).ExitCode);
    }

    [Fact]
    public void No_rows_are_nothing_to_generate_and_nothing_to_score_but_nothing_can_be_evaluated()
    {
        Assert.Equal((0, "Wrote 0 rows.\n"), (Run("generate", "--strict").ExitCode, Run("generate").Error));
        Assert.Equal(0, Run("score").ExitCode);
        Run("evaluate").AssertFailed(1, "no row to evaluate");
    }

    [Fact]
    public void A_text_that_cannot_be_generated_from_fails()
    {
        ToolResult result = ToolRunner.Run("generate", models.Tiny, "--text", "a");
        Assert.Equal((1, "error"), (result.ExitCode, result.Rows[0].GetProperty("stopReason").GetString()));
        Assert.Contains("no tokenizer", result.Error);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Rows_come_from_standard_input(string command)
    {
        string[] arguments = [.. Arguments(command), "--input", "-", "--output", "-"];
        ToolResult fromFile = Run(command, Good, "", "bad");
        foreach (bool isInterruptible in new[] { false, true })
        {
            var output = new StringWriter();
            var error = new StringWriter();
            Stream rows = new MemoryStream(Encoding.UTF8.GetBytes($"{Good}\n\nbad\n"));
            int code = EarlyExitTool.Run(arguments, new ToolContext(output, new MessageWriter(error, isTerminal: false), CancellationToken.None)
            {
                Input = isInterruptible ? new InterruptibleStream(() => rows, CancellationToken.None) : rows,
            });
            Assert.Equal((fromFile.ExitCode, fromFile.Output, fromFile.Error), (code, output.ToString(), error.ToString()));
        }
    }

    [Fact]
    public void Standard_input_is_read_only_once_on_a_command_line()
    {
        ToolResult result = ToolRunner.Run("generate", models.Tiny, "--input", "-", "--policy", "-");
        result.AssertFailed(2, "--input and --policy are all '-'; standard input can be read only once.");
    }

    [Fact]
    public async Task Rows_that_were_read_are_written_while_the_next_is_awaited()
    {
        using var input = new SlowRows(Encoding.UTF8.GetBytes(Good + "\n"));
        var output = new AwaitedWriter();
        Task<int> run = Task.Run(() => EarlyExitTool.Run(
            ["generate", models.Tiny, "--input", "-"],
            new ToolContext(output, new MessageWriter(TextWriter.Null, isTerminal: false), CancellationToken.None) { Input = input }));
        Assert.True(output.IsWritten.Wait(TimeSpan.FromMinutes(1)), "The row waits for the next.");
        Assert.False(run.IsCompleted);
        input.End();
        Assert.Equal(0, await run);
        Assert.Single(ToolResult.ParseRows(output.ToString()));
    }

    [Fact]
    public async Task Waiting_for_standard_input_can_be_cancelled()
    {
        using var input = new SlowRows([]);
        foreach (string[] arguments in new[] { ["generate", models.Tiny], ["score", models.Tiny], new[] { "evaluate", "rouge" } })
        {
            using var source = new CancellationTokenSource();
            var context = new ToolContext(new StringWriter(), new MessageWriter(TextWriter.Null, isTerminal: false), source.Token)
            {
                Input = new InterruptibleStream(() => input, source.Token),
            };
            Task<int> run = Task.Run(() => EarlyExitTool.Run([.. arguments, "--input", "-"], context));
            Assert.True(input.IsAwaited.WaitOne(TimeSpan.FromMinutes(1)));
            source.Cancel();
            Assert.Equal(130, await run);
        }

        input.End();
    }

    [Fact]
    public void A_reader_that_leaves_ends_the_command_in_peace_after_the_row_it_did_not_take()
    {
        foreach (string command in Commands.Select(row => row.Data))
        {
            var output = new LeavingReader(rows: 2);
            string[] lines = [.. Enumerable.Repeat(Good, 10)];
            Write(lines);
            var error = new StringWriter();
            string[] more = command == "evaluate" ? ["--rows", "-"] : [];
            int code = EarlyExitTool.Run(
                [.. Arguments(command), "--input", _folder.File("in.jsonl"), .. more],
                new ToolContext(output, new MessageWriter(error, isTerminal: false), CancellationToken.None));
            Assert.Equal((0, "", 3), (code, error.ToString(), output.Rows));
        }

        // What a command writes besides stays complete.
        Assert.Equal(0, EarlyExitTool.Run(
            [.. Arguments("evaluate"), "--input", _folder.File("in.jsonl"), "--rows", _folder.File("rows.jsonl")],
            new ToolContext(new LeavingReader(rows: 0), new MessageWriter(TextWriter.Null, isTerminal: false), CancellationToken.None)));
        Assert.Equal(10, File.ReadAllLines(_folder.File("rows.jsonl")).Length);
    }

    private string[] Arguments(string command) => command == "evaluate" ? ["evaluate", "rouge"] : [command, models.Tiny];

    private ToolResult Run(string command, params string[] optionsAndRows)
    {
        int options = 0;
        while (options < optionsAndRows.Length && optionsAndRows[options].StartsWith('-'))
            options += optionsAndRows[options] == "--output" ? 2 : 1;
        Write(optionsAndRows[options..]);
        return ToolRunner.Run([.. Arguments(command), "--input", _folder.File("in.jsonl"), .. optionsAndRows[..options]]);
    }

    private void Write(string[] rows) => File.WriteAllLines(_folder.File("in.jsonl"), rows);

    /// <summary>Takes so many rows.</summary>
    private sealed class LeavingReader(int rows) : StringWriter
    {
        public int Rows { get; private set; }

        public override void Write(string? value) => Count();

        public override void WriteLine(string? value) => Count();

        private void Count()
        {
            if (++Rows > rows)
                throw new ReaderLeftException();
        }
    }

    /// <summary>Tells that something was written.</summary>
    private sealed class AwaitedWriter : StringWriter
    {
        public ManualResetEventSlim IsWritten { get; } = new();

        public override void Write(string? value)
        {
            base.Write(value);
            IsWritten.Set();
        }
    }

    /// <summary>Rows, and then nothing until it ends.</summary>
    private sealed class SlowRows(byte[] rows) : MemoryStream(rows)
    {
        private readonly ManualResetEventSlim _isEnded = new();

        public AutoResetEvent IsAwaited { get; } = new(false);

        public override bool CanSeek => false;

        public void End() => _isEnded.Set();

        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = base.Read(buffer, offset, count);
            if (read == 0)
            {
                IsAwaited.Set();
                _isEnded.Wait();
            }

            return read;
        }

        public override int Read(Span<byte> buffer)
        {
            byte[] bytes = new byte[buffer.Length];
            int read = Read(bytes, 0, bytes.Length);
            bytes.AsSpan(0, read).CopyTo(buffer);
            return read;
        }
    }
}
