namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class UsageTests
{
    private static readonly string[] s_reproduce = ["reproduce", "--model", "m", "--data", "d", "--output", "o"];

    public static TheoryData<string[]> WrongUsages { get; } = new((string[][])
    [
        [], ["bogus"], ["convert"], ["convert", "a"], ["convert", "a", "b", "c"], ["convert", "", "b"], ["convert", "a", "b", "--weights", "int3"],
        ["convert", "a", "b", "--bogus"], ["inspect"], ["inspect", ""], ["generate"], ["generate", "b"], ["generate", "b", "--text", "a", "--input", "f"],
        ["generate", "b", "--text"], ["generate", "b", "--text", "a", "--text", "b"], ["generate", "b", "--input", ""], ["generate", "b", "--text", "a", "--output", ""],
        ["generate", "b", "--text", "a", "--batch", "0"], ["generate", "b", "--text", "a", "--batch", "1025"], ["generate", "b", "--text", "a", "--batch", "many"],
        ["reproduce"],
        ["reproduce", "--model", "m", "--data", "d"], ["reproduce", "--model", "m", "--output", "o"],
        ["reproduce", "--data", "d", "--output", "o"], [.. s_reproduce, "--samples", "0"], [.. s_reproduce, "--samples", "few"], [.. s_reproduce, "--format", "xml"],
        [.. s_reproduce, "--threshold", "1.5"], [.. s_reproduce, "--minimum-layers", "1,x"], [.. s_reproduce, "--minimum-layers", "0"], [.. s_reproduce, "--batch", "0"],
        [.. s_reproduce, "--latency-rows", "0"], [.. s_reproduce, "--seed", "-1"], [.. s_reproduce, "--model", ""], [.. s_reproduce, "--model", "x=m", "--model", "y=m"],
        [.. s_reproduce, "--model", "other/m"],
        ["generate", "b", "--text", "a", "--batch"], ["score"], ["score", "b"], ["score", "b", "--input"], ["score", "", "--input", "f"], ["score", "b", "--input", "f", "--trace"],
        ["score", "b", "--input", "f", "--policy", ""], ["generate", "b", "c", "--text", "a"],
        ["figures"], ["figures", ""], ["figures", "f", "--scores", "s"], ["figures", "--scores", "s"], ["figures", "--output", "o"], ["figures", "f", "--output", "o"],
        ["figures", "--scores", "", "--output", "o"], ["figures", "f", "g"], ["figures", "--scores", "s", "t", "--output", "o"],
        ["calibrate"], ["calibrate", "b"], ["figures", "--certificate", "c"],
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
    [InlineData("convert")]
    [InlineData("inspect")]
    [InlineData("generate")]
    [InlineData("score")]
    [InlineData("reproduce")]
    [InlineData("evaluate")]
    [InlineData("calibrate")]
    [InlineData("figures")]
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
            ["convert", "inspect", "generate", "score", "evaluate", "calibrate", "figures", "reproduce"], command => Assert.Contains($"  early-exit {command} ", result.Output));
    }

    [Fact]
    public void Version_is_printed()
    {
        ToolResult result = ToolRunner.Run("--version");
        Assert.Equal(0, result.ExitCode);
        Assert.Matches(@"^\d+\.\d+\.\d+", result.Output);
    }
}
