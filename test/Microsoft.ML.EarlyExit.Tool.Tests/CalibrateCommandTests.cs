using System.Text.Json;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class CalibrateCommandTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_certificate_says_everything_that_it_was_found_from()
    {
        Write("in.jsonl", Rows(20));

        ToolResult result = Calibrate("--delta", "0.3", "--epsilon", "0.2", "--loss", "tokenF1", "--grid", File("grid.json", "[1, 0.9, 0.5]"));

        Assert.Equal(0, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.StartsWith("With probability at least 0.8 over the draw of the 20 calibration prompts", result.Error);
        JsonElement certificate = Certificate();
        Assert.Equal("tokenF1", certificate.GetProperty("loss").GetString());
        Assert.Equal("hoeffdingBentkus", certificate.GetProperty("test").GetString());
        Assert.Equal(
            (20, 0.3, 0.2),
            (certificate.GetProperty("n").GetInt32(), certificate.GetProperty("delta").GetDouble(), certificate.GetProperty("epsilon").GetDouble()));
        Assert.Equal(certificate.GetProperty("lambda").GetSingle(), certificate.GetProperty("policy").GetProperty("threshold").GetSingle());
        Assert.Equal(64, certificate.GetProperty("inputsSha256").GetString()!.Length);
        Assert.Equal(64, certificate.GetProperty("modelSha256").GetString()!.Length);
        Assert.NotEmpty(certificate.GetProperty("version").GetString()!);
        JsonElement first = certificate.GetProperty("candidates")[0];
        Assert.Equal(
            ["policy", "lambda", "meanLoss", "pValue", "meanExitLayer", "operations", "passed"],
            first.EnumerateObject().Select(property => property.Name));
        Assert.Equal(
            (1f, 0.0, 12.0, true),
            (first.GetProperty("lambda").GetSingle(), first.GetProperty("meanLoss").GetDouble(),
                first.GetProperty("meanExitLayer").GetDouble(), first.GetProperty("passed").GetBoolean()));
        Assert.False(System.IO.File.Exists(_folder.File("certificate.json.partial")));

        // The calibrated policy is a policy file.
        string policy = File("calibrated.json", certificate.GetProperty("policy").GetRawText());
        Assert.Equal(0, ToolRunner.Run("generate", models.Restaurants, "--input", _folder.File("in.jsonl"), "--policy", policy).ExitCode);
    }

    [Fact]
    public void An_interrupted_calibration_keeps_its_finished_runs_and_goes_on()
    {
        Write("in.jsonl", Rows(12));
        string[] arguments = ["--delta", "0.3", "--epsilon", "0.2", "--loss", "exactMatch", "--test", "binomial", "--grid", File("grid.json", "[1, 0.9]")];
        ToolResult whole = Calibrate(arguments);
        JsonElement expected = Certificate();
        System.IO.File.Delete(_folder.File("certificate.json"));

        using var cancellation = new CancellationTokenSource();
        var messages = new CancellingWriter("run 2 of", cancellation);
        int code = EarlyExitTool.Run(
            Arguments(arguments), new ToolContext(new StringWriter(), new MessageWriter(messages, isTerminal: true), cancellation.Token));

        Assert.Equal(130, code);
        Assert.Contains($"Finished runs stay in '{_folder.File("certificate.json.partial")}': 1. The same command goes on from them.", messages.ToString());
        Assert.False(System.IO.File.Exists(_folder.File("certificate.json")));

        ToolResult resumed = Calibrate(arguments);
        Assert.Contains("finished runs there: 1.", resumed.Error);
        Assert.EndsWith(whole.Error, resumed.Error);
        Assert.Equal(expected.GetProperty("candidates").GetRawText(), Certificate().GetProperty("candidates").GetRawText());
        Assert.False(System.IO.File.Exists(_folder.File("certificate.json.partial")));
    }

    [Theory]
    [InlineData("""{"staticExitLayer": 3}""", "policy.json: The policy has no threshold to calibrate: staticExitLayer compares nothing with a threshold.")]
    [InlineData(
        """{"thresholds": [0.5]}""",
        "policy.json: The policy has no threshold to calibrate: thresholds gives one for each layer, where one number is calibrated; leave it out.")]
    [InlineData("""{"selfSpeculation": {}}""", "policy.json: The policy has no threshold to calibrate: with selfSpeculation")]
    [InlineData("""{"minimumLayer": 13}""", "policy.json: minimumLayer is 13, but the model has 12 decoder layers")]
    public void A_policy_without_a_threshold_is_refused(string policy, string message)
    {
        Write("in.jsonl", Rows(12));

        ToolResult result = ToolRunner.Run(
            "calibrate", models.Restaurants, "--input", _folder.File("in.jsonl"), "--delta", "0.3", "--epsilon", "0.2", "--loss", "rougeL",
            "--policy", File("policy.json", policy),
            "--output", _folder.File("certificate.json"));

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(message, result.Error);
    }

    [Theory]
    [InlineData("[1, 0.9, 0.95]", "grid.json: The threshold at index 2")]
    [InlineData("[]", "grid.json: The grid has no thresholds")]
    [InlineData("[1, 0.5, -0.1]", "grid.json: The threshold at index 2")]
    [InlineData("{}", "grid.json is not a JSON array of numbers")]
    public void A_bad_grid_is_refused(string grid, string message)
    {
        Write("in.jsonl", Rows(12));
        ToolResult result = Calibrate("--delta", "0.3", "--epsilon", "0.2", "--loss", "rougeL", "--grid", File("grid.json", grid));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(message, result.Error);
    }

    [Fact]
    public void Bad_prompts_are_named_by_file_and_line()
    {
        string[] arguments = ["--delta", "0.3", "--epsilon", "0.2", "--loss", "rougeLRisk"];
        Write("in.jsonl", [.. Rows(2), """{"text": "a"}"""]);
        Assert.Contains("in.jsonl: line 3: it has none of reference, references and answers, which the loss needs.", Calibrate(arguments).Error);
        Write("in.jsonl", [.. Rows(1), """{"text": "a", "reference": "a", "answers": ["b"]}"""]);
        Assert.Contains("in.jsonl: line 2: it has both reference and answers; give one of them.", Calibrate(arguments).Error);
        Write("in.jsonl", [.. Rows(1), "{"]);
        Assert.Contains("in.jsonl: line 2: it is not valid JSON", Calibrate(arguments).Error);
        Write("in.jsonl", []);
        Assert.Contains("in.jsonl: There is no prompt to calibrate on: the data is empty.", Calibrate(arguments).Error);
        Write("in.jsonl", Rows(3));
        Assert.Contains("in.jsonl: 3 prompts can never certify δ = 0.3 at ε = 0.2", Calibrate(arguments).Error);
        Write("in.jsonl", [.. Rows(10), .. Rows(2)]);
        Assert.Contains("in.jsonl: 2 of 12 prompts are repetitions of others.", Calibrate([.. arguments, "--grid", File("grid.json", "[1]")]).Error);
    }

    [Fact]
    public void Values_out_of_range_are_wrong_usage()
    {
        Assert.Contains("--delta is '0'; it must be a number above 0 and below 1.", Calibrate("--delta", "0", "--epsilon", "0.2", "--loss", "rougeL").Error);
        Assert.Contains("--epsilon is 'much'", Calibrate("--delta", "0.1", "--epsilon", "much", "--loss", "rougeL").Error);
        Assert.Contains("--loss is 'bleu'; it must be one of rougeL, tokenF1", Calibrate("--delta", "0.1", "--epsilon", "0.1", "--loss", "bleu").Error);
        Assert.Contains("--test is 'z'", Calibrate("--delta", "0.1", "--epsilon", "0.1", "--loss", "rougeL", "--test", "z").Error);
        Assert.Equal(2, Calibrate("--delta", "0.1", "--loss", "rougeL").ExitCode);
    }

    [Fact]
    public void A_loss_that_does_not_see_its_references_is_refused_and_Unicode_words_and_chrF_are_the_ways_out()
    {
        Write("in.jsonl", [.. Rows(12).Select((row, index) =>
            $$$"""{"text": "question {{{index}}}", "answers": {"text": ["Это хороший ресторан"], "answer_start": [0]}}""")]);
        string[] arguments =
            ["--delta", "0.3", "--epsilon", "0.2", "--grid", File("grid.json", "[1]"), "--options", File("options.json", """{"maxNewTokens": 2}""")];

        ToolResult refused = Calibrate([.. arguments, "--loss", "rougeLRisk"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains(
            "drops 216 of 216 letters (100 %) of the references, so the loss rougeLRisk would certify what it cannot see. "
            + "Take Unicode words (--rouge-tokenizer unicode, ",
            refused.Error);
        Assert.Contains("or the loss chrfRisk, which needs no words.", refused.Error);
        Assert.False(System.IO.File.Exists(_folder.File("certificate.json.partial")));

        Assert.Equal(0, Calibrate([.. arguments, "--loss", "rougeLRisk", "--rouge-tokenizer", "unicode"]).ExitCode);
        Assert.Equal(("rougeLRisk", "unicode"), (Certificate().GetProperty("loss").GetString(), Certificate().GetProperty("rougeTokenizer").GetString()));
        ToolResult chrf = Calibrate([.. arguments, "--loss", "chrfRisk", "--rouge-tokenizer", "unicode", "--split-sentences"]);
        Assert.Equal((0, "chrfRisk"), (chrf.ExitCode, Certificate().GetProperty("loss").GetString()));
        Assert.Contains("--rouge-tokenizer changes nothing here: the loss chrfRisk is not made of ROUGE.", chrf.Error);
        Assert.Contains("--split-sentences changes nothing here", chrf.Error);
        Assert.False(Certificate().TryGetProperty("rougeTokenizer", out _));
    }

    [Fact]
    public void The_figure_of_a_certificate_has_its_numbers_beside_it()
    {
        Write("in.jsonl", Rows(12));
        Assert.Equal(0, Calibrate("--delta", "0.3", "--epsilon", "0.2", "--loss", "rougeL", "--grid", File("grid.json", "[1, 0.9]")).ExitCode);

        ToolResult result = ToolRunner.Run("figures", "--certificate", _folder.File("certificate.json"), "--output", _folder.File("figures"));

        Assert.Equal((0, $"Drew 1 figure in '{_folder.File("figures")}': certificate.\n"), (result.ExitCode, result.Error));
        string[] lines = System.IO.File.ReadAllLines(Path.Combine(_folder.File("figures"), "certificate.csv"));
        Assert.Contains("1,mean rougeL loss,softmaxMargin,1,0", lines);
        Assert.Contains("1,mean rougeL loss,δ,1,0.3", lines);
        Assert.Contains("3,mean exit layer,softmaxMargin,1,12", lines);
        Assert.Equal(1, ToolRunner.Run("figures", "--certificate", _folder.File("in.jsonl"), "--output", _folder.File("figures")).ExitCode);
    }

    private static string[] Rows(int count) =>
    [
        .. System.IO.File.ReadLines(Repository.Fixture("demo/question-calibration.jsonl")).Take(count),
    ];

    private string[] Arguments(string[] options) =>
    [
        "calibrate", models.Restaurants, "--input", _folder.File("in.jsonl"),
        "--policy", File("policy.json", """{"minimumLayer": 2, "pruning": {"kind": "decaying"}}"""),
        "--output", _folder.File("certificate.json"), .. options,
    ];

    private ToolResult Calibrate(params string[] options) => ToolRunner.Run(Arguments(options));

    private JsonElement Certificate() => JsonDocument.Parse(System.IO.File.ReadAllText(_folder.File("certificate.json"))).RootElement;

    private void Write(string name, string[] lines) => System.IO.File.WriteAllLines(_folder.File(name), lines);

    private string File(string name, string content)
    {
        System.IO.File.WriteAllText(_folder.File(name), content);
        return _folder.File(name);
    }

    /// <summary>Cancels when something is said.</summary>
    private sealed class CancellingWriter(string what, CancellationTokenSource cancellation) : StringWriter
    {
        public override void Write(string? value)
        {
            base.Write(value);
            if (value?.Contains(what, StringComparison.Ordinal) == true)
                cancellation.Cancel();
        }
    }
}
