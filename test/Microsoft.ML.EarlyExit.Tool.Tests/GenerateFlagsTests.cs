namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class GenerateFlagsTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string[], string?, string?> Flags { get; } = new()
    {
        {
            ["--max-new-tokens", "9", "--threshold", "0.4", "--minimum-layer", "2", "--pruning", "decaying"],
            """{"minimumLayer": 2, "threshold": 0.4, "pruning": {"kind": "decaying"}}""", """{"maxNewTokens": 9}"""
        },
        { ["--confidence", "hiddenStateSaturation", "--max-new-tokens", "9"], """{"confidence": "hiddenStateSaturation"}""", """{"maxNewTokens": 9}""" },
        {
            ["--confidence", "jsdContrastive", "--minimum-layer", "3", "--threshold", "0.2", "--max-new-tokens", "9"],
            """{"confidence": "jsdContrastive", "minimumLayer": 3, "threshold": 0.2}""", """{"maxNewTokens": 9}"""
        },
        {
            ["--min-new-tokens", "7", "--max-new-tokens", "12", "--repetition-penalty", "1.7", "--no-repeat-ngram-size", "2", "--max-input-tokens", "3"],
            null, """{"minNewTokens": 7, "maxNewTokens": 12, "repetitionPenalty": 1.7, "noRepeatNgramSize": 2, "maxInputTokens": 3}"""
        },
    };

    [Theory]
    [MemberData(nameof(Flags))]
    public void Flags_do_what_the_same_values_do_in_files(string[] flags, string? policy, string? options)
    {
        Assert.Equal(Generate([.. Policy(policy), .. Options(options), "--trace"]).Output, Generate([.. flags, "--trace"]).Output);
    }

    [Fact]
    public void A_flag_wins_over_its_file_and_leaves_the_rest_of_it()
    {
        string[] files =
        [
            .. Policy("""
                {"minimumLayer": 3, "threshold": 0.9, "confidence": "weightedContrastive", "contrastive": {"alpha": 0.3}, "pruning": {"kind": "fixed", "k": 40}}
                """),
            .. Options("""{"maxNewTokens": 5, "repetitionPenalty": 1.5}"""),
        ];
        string[] expected =
        [
            .. Policy(
                """
                {"minimumLayer": 3, "threshold": 0.2, "confidence": "jsdContrastive", "contrastive": {"alpha": 0.3}, "pruning": {"kind": "adaptive", "k": 40}}
                """,
                "p2.json"),
            .. Options("""{"maxNewTokens": 8, "repetitionPenalty": 1.5}""", "o2.json"),
        ];
        Assert.Equal(
            Generate([.. expected, "--trace"]).Output,
            Generate([.. files, "--threshold", "0.2", "--confidence", "jsdContrastive", "--pruning", "adaptive", "--max-new-tokens", "8", "--trace"]).Output);

        // A threshold for all layers takes the place of one for each.
        Assert.Equal(
            Generate([.. Policy("""{"minimumLayer": 2, "threshold": 0.4}"""), "--trace"]).Output,
            Generate([.. Policy("""{"minimumLayer": 2, "thresholds": [1, 1, 1, 1, 1, 1, 1, 1]}""", "p3.json"), "--threshold", "0.4", "--trace"]).Output);
    }

    [Fact]
    public void A_prefix_may_be_a_flag()
    {
        string[] limit = ["--max-new-tokens", "4"];
        Assert.Equal(
            ToolRunner.Run(["generate", models.TinyText, "--text", "describe: a", .. limit]).Output,
            ToolRunner.Run(["generate", models.TinyText, "--text", "a", "--prefix", "describe: ", .. limit]).Output);
    }

    [Theory]
    [InlineData("--max-new-tokens is '0'; it must be a whole number from 1 to 1048576.", "--max-new-tokens", "0")]
    [InlineData("--max-new-tokens is '2.5'", "--max-new-tokens", "2.5")]
    [InlineData("--min-new-tokens is '-1'; it must be a whole number from 0 to 1048576.", "--min-new-tokens", "-1")]
    [InlineData("--threshold is '1.5'; it must be a number from 0 to 1.", "--threshold", "1.5")]
    [InlineData("--threshold is 'NaN'", "--threshold", "NaN")]
    [InlineData("--repetition-penalty is '0'; it must be a number above 0.", "--repetition-penalty", "0")]
    [InlineData(
        "--confidence is 'softmax'; it must be one of softmaxMargin, hiddenStateSaturation, classifier, "
        + "weightedContrastive, jsdContrastive. Did you mean softmaxMargin?",
        "--confidence", "softmax")]
    [InlineData("--pruning is 'Decaying'; it must be one of none, fixed, decaying, adaptive. Did you mean decaying?", "--pruning", "Decaying")]
    [InlineData("--minimum-layer is 9, but the model has 8 decoder layers; it must be from 1 to 8.", "--minimum-layer", "9")]
    [InlineData("--min-new-tokens is 9, more than --max-new-tokens, which is 8.", "--min-new-tokens", "9", "--max-new-tokens", "8")]
    [InlineData("--confidence: confidence is \"classifier\"; it needs the field classifier", "--confidence", "classifier")]
    [InlineData("--confidence hiddenStateSaturation and --pruning exclude each other", "--confidence", "hiddenStateSaturation", "--pruning", "fixed")]
    [InlineData("--threads is '0'; it must be a whole number from 1 to 1024.", "--threads", "0")]
    [InlineData("--gpu is '-1'; it must be a whole number of at least 0.", "--gpu", "-1")]
    public void Impossible_flags_are_wrong_usage_that_names_them(string message, params string[] flags) => Generate(flags).AssertFailed(2, message, "--help");

    [Fact]
    public void What_a_flag_makes_impossible_of_a_file_is_the_flags_fault_and_the_rest_the_files()
    {
        Generate([.. Policy("""{"staticExitLayer": 3}"""), "--minimum-layer", "2"]).AssertFailed(2, "staticExitLayer and --minimum-layer exclude each other");
        Generate([.. Policy("""{"minimumLayer": 9}"""), "--threshold", "0.5"]).AssertFailed(1, "policy.json: minimumLayer is 9");
        Generate([.. Options("""{"minNewTokens": 6}"""), "--max-new-tokens", "5"])
            .AssertFailed(2, "minNewTokens is 6, more than --max-new-tokens, which is 5.");
        Generate([.. Options("""{"minNewTokens": 6, "maxNewTokens": 5}"""), "--repetition-penalty", "1.5"]).AssertFailed(1, "options.json: minNewTokens is 6");
    }

    [Fact]
    public void Threads_change_nothing_but_the_time_and_a_gpu_that_cannot_be_had_is_named()
    {
        Assert.Equal(Generate([]).Output, Generate(["--threads", "1"]).Output);
        Assert.SkipWhen(File.Exists("/dev/nvidiactl"), "There may be a GPU.");
        ToolResult result = Generate(["--gpu", "0"]);
        result.AssertFailed(1, "--gpu 0: ");
        Assert.DoesNotContain("FallbackToCpu", result.Error);
        Assert.DoesNotContain("Unexpected", result.Error);
    }

    private ToolResult Generate(string[] more)
    {
        File.WriteAllText(_folder.File("in.jsonl"), """{"id": 1, "inputIds": [7, 99, 300, 1]}""");
        ToolResult result = ToolRunner.Run(["generate", models.TinyExit, "--input", _folder.File("in.jsonl"), .. more]);
        if (result.ExitCode == 0)
            Assert.NotEmpty(result.Rows[0].GetProperty("tokenIds").EnumerateArray());
        return result;
    }

    private string[] Policy(string? json, string name = "policy.json") => json is null ? [] : ["--policy", Write(name, json)];

    private string[] Options(string? json, string name = "options.json") => json is null ? [] : ["--options", Write(name, json)];

    private string Write(string name, string json)
    {
        File.WriteAllText(_folder.File(name), json);
        return _folder.File(name);
    }
}
