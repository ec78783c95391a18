namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class UsageTests
{
    private static readonly string[] s_reproduce = ["reproduce", "--model", "m", "--data", "d", "--output", "o"];

    public static TheoryData<string[]> WrongUsages { get; } = new((string[][])
    [
        [], ["bogus"], ["convert"], ["convert", "a"], ["convert", "a", "b", "c"], ["convert", "", "b"], ["convert", "a", "b", "--weights", "int3"],
        ["convert", "a", "b", "--bogus"], ["inspect"], ["inspect", ""], ["generate"], ["generate", "b"], ["generate", "b", "--text", "a", "--input", "f"],
        ["generate", "b", "--text"], ["generate", "b", "--text", "a", "--text", "b"], ["generate", "b", "--input", ""],
        ["generate", "b", "--text", "a", "--output", ""], ["generate", "b", "--text", "a", "--batch", "0"], ["generate", "b", "--text", "a", "--batch", "1025"],
        ["generate", "b", "--text", "a", "--batch", "many"],
        ["reproduce"],
        ["reproduce", "--model", "m", "--data", "d"], ["reproduce", "--model", "m", "--output", "o"],
        ["reproduce", "--data", "d", "--output", "o"], [.. s_reproduce, "--samples", "0"], [.. s_reproduce, "--samples", "few"],
        [.. s_reproduce, "--format", "xml"], [.. s_reproduce, "--threshold", "1.5"], [.. s_reproduce, "--minimum-layers", "1,x"],
        [.. s_reproduce, "--minimum-layers", "0"], [.. s_reproduce, "--batch", "0"], [.. s_reproduce, "--latency-rows", "0"], [.. s_reproduce, "--seed", "-1"],
        [.. s_reproduce, "--model", ""], [.. s_reproduce, "--model", "x=m", "--model", "y=m"], [.. s_reproduce, "--model", "other/m"],
        ["generate", "b", "--text", "a", "--batch"], ["score"], ["score", "b"], ["score", "b", "--input"], ["score", "", "--input", "f"],
        ["score", "b", "--input", "f", "--trace"], ["score", "b", "--input", "f", "--policy", ""], ["generate", "b", "c", "--text", "a"],
        ["figures"], ["figures", ""], ["figures", "f", "--scores", "s"], ["figures", "--scores", "s"], ["figures", "--output", "o"],
        ["figures", "f", "--output", "o"], ["figures", "--scores", "", "--output", "o"], ["figures", "f", "g"],
        ["figures", "--scores", "s", "t", "--output", "o"],
        ["calibrate"], ["calibrate", "b"], ["figures", "--certificate", "c"],
        ["bench"], ["bench", ""], ["bench", "b", "c"], ["bench", "b", "--rounds", "0"], ["bench", "b", "--rounds", "1001"], ["bench", "b", "--batch", "0"],
        ["bench", "b", "--input", ""], ["bench", "b", "--text", "a"], ["bench", "b", "--json=1"],
        ["completion"], ["completion", "tcsh"], ["inspect", "--jsn"], ["generate", "b", "--text", "a", "--json=1"],
        ["evaluate"], ["evaluate", "rouge"], ["evaluate", "meteor", "--input", "f"], ["evaluate", "squad", "--input", "f", "--stemmer"],
    ]);

    [Theory]
    [MemberData(nameof(WrongUsages))]
    public void Wrong_usage_ends_with_two_and_points_to_the_help(string[] arguments)
    {
        ToolResult result = ToolRunner.Run(arguments);
        result.AssertFailed(2, "--help");
        Assert.True(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length > 1, "It does not say what is wrong.");
    }

    [Fact]
    public void Wrong_values_are_named()
    {
        Assert.Contains("int3", ToolRunner.Run("convert", "a", "b", "--weights", "int3").Error);
        Assert.Contains("'many'", ToolRunner.Run("generate", "b", "--text", "a", "--batch", "many").Error);
        Assert.Contains("either --text or --input", ToolRunner.Run("generate", "b").Error);
    }

    [Theory]
    [InlineData("There is no command 'genrate'. Did you mean generate?", "genrate", "b", "--text", "a")]
    [InlineData("There is no command 'quantize'.\n", "quantize", "b")]
    [InlineData("There is no option --txet. Did you mean --text?", "generate", "b", "--txet", "a")]
    [InlineData("There is no option --polcy. Did you mean --policy?", "generate", "--polcy", "p.json", "b", "--text", "a")]
    [InlineData("There is no option --jsn. Did you mean --json?", "inspect", "--jsn")]
    [InlineData("There is no option --temperature.\n", "generate", "b", "--text", "a", "--temperature", "1")]
    [InlineData("--weights is 'fp23'; it must be one of fp32, bf16, int8, int4. Did you mean fp32?", "convert", "a", "b", "--weights", "fp23")]
    [InlineData("--weights is 'int9'; it must be one of fp32, bf16, int8, int4.", "convert", "a", "b", "--weights", "int9")]
    [InlineData("KIND is 'rogue'; it must be one of rouge, squad, bleu, chrf, exits. Did you mean rouge?", "evaluate", "rogue", "--input", "f")]
    [InlineData("--loss is 'rougel'; it must be one of", "calibrate", "b", "--loss", "rougel")]
    [InlineData("--format is 'squat'; it must be one of", "reproduce", "--model", "m", "--data", "d", "--output", "o", "--format", "squat")]
    [InlineData(
        "--rouge-tokenizer is 'unicod'; it must be one of rouge, unicode. Did you mean unicode?",
        "evaluate", "rouge", "--input", "f", "--rouge-tokenizer", "unicod")]
    [InlineData("SHELL is 'bsh'; it must be one of bash, zsh, fish, pwsh. Did you mean bash?", "completion", "bsh")]
    [InlineData("SOURCE is missing. The folder with", "convert")]
    [InlineData("BUNDLE is missing. The folder to create", "convert", "a")]
    [InlineData("For example: early-exit convert flan-t5-small flan-t5-small.bundle", "convert", "a")]
    [InlineData("--input FILE is missing. Rows to evaluate", "evaluate", "rouge")]
    [InlineData("--text has no TEXT after it. One text", "generate", "b", "--text")]
    [InlineData("'c' is one argument too many.", "inspect", "b", "c")]
    [InlineData("There is no option --round. Did you mean --rounds?", "bench", "b", "--round", "3")]
    [InlineData("For example: early-exit bench flan-t5-small.bundle", "bench")]
    [InlineData("Name a command: convert, inspect, generate", "--verbose")]
    public void Mistakes_are_named_with_what_was_meant(string message, params string[] arguments)
    {
        ToolResult result = ToolRunner.Run(arguments);
        result.AssertFailed(2, "--help");
        Assert.Contains(message, result.Error.ReplaceLineEndings("\n"));
    }

    [Fact]
    public void Messages_name_flags() => ToolRunner.Run("convert", "a", Path.GetTempPath()).AssertFailed(1, "give --overwrite to replace it");

    [Theory]
    [InlineData("bash", "complete -o default -F _early_exit early-exit")]
    [InlineData("zsh", "compdef _early_exit early-exit")]
    [InlineData("fish", "complete --command early-exit")]
    [InlineData("pwsh", "Register-ArgumentCompleter -Native -CommandName early-exit")]
    public void Completion_scripts_are_printed(string shell, string line)
    {
        ToolResult result = ToolRunner.Run("completion", shell);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains(line, result.Output);
        Assert.Contains("[suggest:", result.Output);
    }

    [Theory]
    [InlineData("early-exit eval", "evaluate")]
    [InlineData("early-exit calibrate b --test ", "binomial hoeffdingBentkus wsr")]
    [InlineData("early-exit calibrate b --loss exact", "exactMatch exactMatchRisk")]
    [InlineData("early-exit evaluate rouge --rouge-tokenizer ", "rouge unicode")]
    [InlineData("early-exit evaluate ", "bleu chrf exits rouge squad")]
    [InlineData("early-exit inspect b --", "--help --json --verbose")]
    [InlineData("early-exit inspect ", "")]
    [InlineData("early-exit ben", "bench")]
    [InlineData("early-exit bench b --", "--batch --gpu --help --input --json --options --policy --rounds --threads --verbose")]
    [InlineData("early-exit generate b --text ", "")]
    [InlineData("early-exit generate \"a b\" --thres", "--threshold")]
    [InlineData("early", "")]
    [InlineData("", "")]
    public void Candidates_continue_what_was_typed(string line, string expected)
    {
        ToolResult result = ToolRunner.Run($"[suggest:{line.Length}]", $"{line} behind");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(
            expected,
            string.Join(' ', result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(one => one.TrimEnd()).Order(StringComparer.Ordinal)));
    }

    [Fact]
    public void Candidates_are_for_the_cursors_place()
    {
        Assert.Equal("generate", ToolRunner.Run("[suggest:14]", "early-exit gen b --text a").Output.Trim());
        // A shell that leaves out the blank before the cursor.
        Assert.Equal("softmaxMargin", ToolRunner.Run("[suggest:40]", "early-exit generate b --confidence").Output.Split('\n')[3].Trim());
    }

    [Theory]
    [InlineData("convert")]
    [InlineData("inspect")]
    [InlineData("generate")]
    [InlineData("score")]
    [InlineData("reproduce")]
    [InlineData("evaluate")]
    [InlineData("calibrate")]
    [InlineData("bench")]
    [InlineData("figures")]
    [InlineData("completion")]
    public void Help_has_an_example_of_the_command(string command)
    {
        ToolResult result = ToolRunner.Run(command, "--help");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains($"Example:{Environment.NewLine}  early-exit {command} ", result.Output);
        Assert.Matches($@"early-exit {command} [<\[]", result.Output);
    }

    [Fact]
    public void Help_of_the_tool_names_all_commands()
    {
        ToolResult result = ToolRunner.Run("--help");
        Assert.Equal(0, result.ExitCode);
        Assert.All(
            ["convert", "inspect", "generate", "score", "evaluate", "calibrate", "bench", "figures", "reproduce"],
            command => Assert.Contains($"  early-exit {command} ", result.Output));
    }

    [Fact]
    public void Version_is_printed()
    {
        ToolResult result = ToolRunner.Run("--version");
        Assert.Equal(0, result.ExitCode);
        Assert.Matches(@"^\d+\.\d+\.\d+", result.Output);
    }
}
