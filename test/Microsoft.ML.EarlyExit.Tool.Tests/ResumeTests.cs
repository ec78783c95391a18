using System.Text;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>Going on with the rows that an interrupted run left: the output is that of a run that nobody interrupted.</summary>
public sealed class ResumeTests(ConvertedModels models) : IDisposable
{
    private static readonly string[] s_rows =
    [
        """{"id": 1, "inputIds": [5, 1], "targetIds": [5, 1], "kept": "é"}""",
        "bad",
        """{"inputIds": [6, 1], "targetIds": [6, 1]}""",
        """{"id": {"a": [1,  2]}, "inputIds": [7, 1], "targetIds": [7, 1]}""",
        "",
        """{"id": "\ud800é", "inputIds": [8, 1], "targetIds": [8, 1]}""",
        """{"id": 6, "inputIds": [999999], "targetIds": [9, 1]}""",
    ];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Commands { get; } = ["generate", "score"];

    private string Input => _folder.File("in.jsonl");

    private string Output => _folder.File("out.jsonl");

    private string Partial => _folder.File("out.jsonl.partial");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Commands))]
    public void Wherever_a_run_was_cut_off_the_output_is_that_of_a_whole_run(string command)
    {
        File.WriteAllLines(Input, s_rows);
        ToolResult whole = Run(command, []);
        Assert.Equal(
            (0, "Wrote 6 rows; 2 of them are errors and say why.\n"),
            (whole.ExitCode, whole.Error[(whole.Error.IndexOf("Wrote", StringComparison.Ordinal))..].ReplaceLineEndings("\n")));
        byte[] expected = File.ReadAllBytes(Output);
        string[] lines = File.ReadAllLines(Output);
        Assert.Equal(6, lines.Length);
        for (int done = 0; done <= lines.Length; done++)
        {
            int bytes = lines[..done].Sum(line => Encoding.UTF8.GetByteCount(line) + 1);
            int next = done < lines.Length ? Encoding.UTF8.GetByteCount(lines[done]) : 0;
            // Cut between two rows, behind a first byte, within a letter or a number, and before the end of the line.
            foreach (int torn in new[] { 0, 1, next / 2, next }.Where(torn => torn <= next).Distinct())
            {
                File.Delete(Output);
                File.WriteAllBytes(Partial, expected[..(bytes + torn)]);
                ToolResult result = Run(command, ["--resume"]);
                Assert.Equal((0, ""), (result.ExitCode, result.Output));
                Assert.Equal(expected, File.ReadAllBytes(Output));
                Assert.False(File.Exists(Partial));
                Assert.Contains("Wrote 6 rows; 2 of them are errors and say why.", result.Error);
                if (done > 0)
                    Assert.Contains($"Going on behind {(done == 1 ? "1 row" : $"{done} rows")} of '{Partial}'.", result.Error);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void An_interrupted_run_names_the_flag_and_is_gone_on_with(string command)
    {
        string[] rows = [.. Enumerable.Range(0, 8).Select(id => $$"""{"id": {{id}}, "inputIds": [5, {{id}}, 1], "targetIds": [6, 1]}""")];
        File.WriteAllLines(Input, rows);
        Run(command, []);
        string expected = File.ReadAllText(Output);
        File.Delete(Output);

        using var cancellation = new CancellationTokenSource();
        var error = new StringWriter();
        int code = EarlyExitTool.Run(
            [command, models.Tiny, "--input", "-", "--output", Output],
            new ToolContext(new StringWriter(), new MessageWriter(error, isTerminal: false), cancellation.Token)
            {
                Input = new CancellingRows(rows, 5, cancellation),
            });
        Assert.Equal(130, code);
        int done = File.ReadAllLines(Partial).Length;
        Assert.InRange(done, 1, 4);
        Assert.Contains($"stay in '{Partial}': the same command with --resume goes on from there.", error.ToString());
        Assert.False(File.Exists(Output));

        // From standard input again, as at first.
        var messages = new StringWriter();
        code = EarlyExitTool.Run(
            [command, models.Tiny, "--input", "-", "--output", Output, "--resume"],
            new ToolContext(new StringWriter(), new MessageWriter(messages, isTerminal: false), CancellationToken.None) { Input = File.OpenRead(Input) });
        Assert.Equal((0, expected), (code, File.ReadAllText(Output)));
        Assert.Contains("Wrote 8 rows.", messages.ToString());
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Rows_that_failed_before_count(string command)
    {
        File.WriteAllLines(Input, ["bad", "worse"]);
        Run(command, []);
        string[] lines = File.ReadAllLines(Output);
        File.WriteAllText(Partial, lines[0] + "\n");
        ToolResult result = Run(command, ["--resume"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("line 1: it is not valid JSON", result.Error);
        Assert.Contains("line 2: it is not valid JSON", result.Error);
        Assert.Equal(lines, File.ReadAllLines(Output));

        File.WriteAllLines(Input, ["bad", s_rows[0]]);
        File.WriteAllText(Partial, lines[0] + "\n");
        Assert.Equal(1, Run(command, ["--resume", "--strict"]).ExitCode);
        File.WriteAllText(Partial, lines[0] + "\n");
        Assert.Equal(0, Run(command, ["--resume"]).ExitCode);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Rows_of_another_input_are_refused_and_stay(string command)
    {
        File.WriteAllLines(Input, s_rows);
        Run(command, []);
        string[] lines = File.ReadAllLines(Output);
        (string[] Rows, string[] Left, string[] Words)[] cases =
        [
            (["", s_rows[0], s_rows[3]], lines[..2], [$"Line 2 of '{Partial}' has the id null, but line 3 of {Input} has {{\"a\": [1,  2]}}.", "--resume"]),
            ([s_rows[0]], lines[..3], [$"'{Partial}' has more rows than {Input}, which has 1.", "--resume"]),
            (s_rows, ["{}"], [$"Line 1 of '{Partial}' is no row of this command.", "--resume"]),
            (s_rows, [lines[0], "nothing"], [$"Line 2 of '{Partial}' is no row of this command.", "--resume"]),
            (s_rows, [lines[0], ""], [$"Line 2 of '{Partial}' is no row of this command."]),
            (s_rows, ["""{"id":1,"text":"a"}"""], [$"Line 1 of '{Partial}' is no row of this command."]),
        ];
        foreach ((string[] rows, string[] left, string[] words) in cases)
        {
            File.WriteAllLines(Input, rows);
            File.WriteAllText(Partial, string.Join('\n', left) + "\n{\"id\"");
            byte[] before = File.ReadAllBytes(Partial);
            Run(command, ["--resume"]).AssertFailed(1, words);
            Assert.Equal(before, File.ReadAllBytes(Partial));
        }
    }

    [Fact]
    public void Rows_of_the_other_command_are_refused()
    {
        File.WriteAllLines(Input, s_rows[..1]);
        foreach ((string one, string other) in new[] { ("generate", "score"), ("score", "generate") })
        {
            Run(one, []);
            File.Move(Output, Partial);
            Run(other, ["--resume"]).AssertFailed(1, "is no row of this command");
            File.Delete(Partial);
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Without_the_flag_what_was_left_is_kept_beside_and_said_so(string command)
    {
        File.WriteAllLines(Input, s_rows[..1]);
        ToolResult first = Run(command, ["--resume"]);
        Assert.Equal((0, "Wrote 1 row.\n"), (first.ExitCode, first.Error.ReplaceLineEndings("\n")));
        File.WriteAllText(Partial, "left");
        ToolResult second = Run(command, []);
        Assert.Equal(0, second.ExitCode);
        Assert.Contains($"The rows that an interrupted run left in '{Partial}' are in '{Partial}.1' now; --resume would have gone on with them.", second.Error);
        Assert.DoesNotContain("left", File.ReadAllText(Output));
        File.WriteAllText(Partial, "left again");
        Assert.Equal(0, Run(command, []).ExitCode);
        Assert.Equal(("left", "left again"), (File.ReadAllText($"{Partial}.1"), File.ReadAllText($"{Partial}.2")));
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void The_flag_needs_rows_and_a_file(string command)
    {
        File.WriteAllLines(Input, s_rows[..1]);
        ToolRunner.Run(command, models.Tiny, "--input", Input, "--resume").AssertFailed(2, "--resume goes on with a file; name it with --output.");
        ToolRunner.Run(command, models.Tiny, "--input", Input, "--output", "-", "--resume").AssertFailed(2, "--resume goes on with a file");
        if (command == "generate")
            ToolRunner.Run(command, models.Tiny, "--text", "a", "--output", Output, "--resume")
                .AssertFailed(2, "--resume goes on with rows; give them with --input.");
    }

    private ToolResult Run(string command, string[] more) => ToolRunner.Run([command, models.Tiny, "--input", Input, "--output", Output, .. more]);

    /// <summary>A row with every read; at the last of so many somebody presses Ctrl+C.</summary>
    private sealed class CancellingRows(string[] rows, int reads, CancellationTokenSource cancellation)
        : MemoryStream(Encoding.UTF8.GetBytes(string.Join('\n', rows)))
    {
        private readonly int _length = Encoding.UTF8.GetByteCount(rows[0]) + 1;
        private int _reads;

        public override int Read(byte[] buffer, int offset, int count)
        {
            if (++_reads == reads)
                cancellation.Cancel();
            return base.Read(buffer, offset, _length);
        }
    }
}
