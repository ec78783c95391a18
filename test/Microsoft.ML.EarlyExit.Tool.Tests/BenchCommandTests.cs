using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>What <c>bench</c> says, but for how long anything took.</summary>
public sealed class BenchCommandTests(ConvertedModels models) : IDisposable
{
    private static readonly string[] s_callFields = ["rows", "tokens", "tokensPerSecond", "seconds"];
    private static readonly string[] s_unmeasured = ["prunedMs", "shortlistMs", "propagationMs"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Json_has_the_fields_of_the_contract_and_numbers_that_agree()
    {
        string rows = Demo(3);
        string options = Write("options.json", """{"maxNewTokens": 10}""");
        string policy = Write("policy.json", """{"minimumLayer": 4, "threshold": 0.6}""");
        JsonElement report = Bench(models.Restaurants, "--input", rows, "--options", options, "--policy", policy, "--batch", "2", "--rounds", "2");
        Assert.Equal(
            [
                .. s_callFields, "fullDepth", "speedup", "decodingSpeedup", "equalOutputs", "meanExitLayer", "encoderMs", "blockMs", "headMs", "screenMs",
                .. s_unmeasured, "bandwidthGBs", "bandwidthShare", "residentMB", "loadSeconds",
            ],
            report.EnumerateObject().Select(field => field.Name));
        Assert.Equal(s_callFields, report.GetProperty("fullDepth").EnumerateObject().Select(field => field.Name));
        Assert.All(s_unmeasured, name => Assert.Equal(JsonValueKind.Null, report.GetProperty(name).ValueKind));
        foreach (string name in (string[])["encoderMs", "blockMs", "headMs", "screenMs", "bandwidthGBs", "bandwidthShare", "residentMB", "loadSeconds"])
            Assert.True(report.GetProperty(name).GetDouble() > 0, name);
        foreach (JsonElement calls in new[] { report, report.GetProperty("fullDepth") })
        {
            double rate = calls.GetProperty("tokens").GetInt32() / calls.GetProperty("seconds").GetDouble();
            Assert.Equal(rate, calls.GetProperty("tokensPerSecond").GetDouble(), 6);
        }

        foreach (string name in (string[])["speedup", "decodingSpeedup"])
        {
            JsonElement range = report.GetProperty(name);
            Assert.Equal(["median", "low", "high"], range.EnumerateObject().Select(field => field.Name));
            double median = range.GetProperty("median").GetDouble();
            Assert.InRange(median, range.GetProperty("low").GetDouble(), range.GetProperty("high").GetDouble());
            Assert.True(median > 0);
        }

        // What is generated is what the other command generates.
        JsonElement[] early = ToolRunner.Run("generate", models.Restaurants, "--input", rows, "--options", options, "--policy", policy).Rows;
        JsonElement[] whole = ToolRunner.Run("generate", models.Restaurants, "--input", rows, "--options", options).Rows;
        Assert.Equal((3, 3), (report.GetProperty("rows").GetInt32(), report.GetProperty("fullDepth").GetProperty("rows").GetInt32()));
        Assert.Equal(early.Sum(Tokens), report.GetProperty("tokens").GetInt32());
        Assert.Equal(whole.Sum(Tokens), report.GetProperty("fullDepth").GetProperty("tokens").GetInt32());
        Assert.Equal(
            early.Zip(whole).Count(pair => pair.First.GetProperty("tokenIds").GetRawText() == pair.Second.GetProperty("tokenIds").GetRawText()),
            report.GetProperty("equalOutputs").GetInt32());
        double mean = early.SelectMany(row => row.GetProperty("exitLayers").EnumerateArray()).Average(layer => layer.GetInt32());
        Assert.InRange(mean, 4, 11.99);
        Assert.Equal(mean, report.GetProperty("meanExitLayer").GetDouble(), 9);
    }

    [Fact]
    public void Without_a_policy_full_depth_is_measured_alone()
    {
        JsonElement report = Bench(models.Restaurants, "--input", Demo(2), "--options", Write("options.json", """{"maxNewTokens": 5}"""), "--rounds", "1");
        Assert.Equal((JsonValueKind.Null, JsonValueKind.Null), (report.GetProperty("speedup").ValueKind, report.GetProperty("decodingSpeedup").ValueKind));
        Assert.Equal((2, 12.0), (report.GetProperty("equalOutputs").GetInt32(), report.GetProperty("meanExitLayer").GetDouble()));
        Assert.All(s_callFields, name => Assert.Equal(report.GetProperty(name).GetDouble(), report.GetProperty("fullDepth").GetProperty(name).GetDouble()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(16)]
    public void A_length_can_be_forced(int batch)
    {
        string rows = Write("in.jsonl", string.Join('\n', Enumerable.Range(4, 5).Select(id => $$"""{"inputIds": [{{id}}, 7, 1]}""")));
        string options = Write("options.json", """{"minNewTokens": 9, "maxNewTokens": 9}""");
        string policy = Write("policy.json", """{"staticExitLayer": 2}""");
        JsonElement report = Bench(
            models.Tiny, "--input", rows, "--options", options, "--policy", policy, "--rounds", "3", "--batch", batch.ToString(CultureInfo.InvariantCulture));
        Assert.Equal((5, 45), (report.GetProperty("rows").GetInt32(), report.GetProperty("tokens").GetInt32()));
        Assert.Equal(45, report.GetProperty("fullDepth").GetProperty("tokens").GetInt32());
        Assert.Equal(2, report.GetProperty("meanExitLayer").GetDouble());
    }

    [Fact]
    public void Where_no_row_takes_a_second_step_there_is_no_share_of_the_bandwidth()
    {
        string options = Write("options.json", """{"minNewTokens": 1, "maxNewTokens": 1}""");
        JsonElement report = Bench(models.Tiny, "--options", options, "--rounds", "1");
        Assert.Equal(report.GetProperty("rows").GetInt32(), report.GetProperty("tokens").GetInt32());
        Assert.Equal(JsonValueKind.Null, report.GetProperty("bandwidthShare").ValueKind);
        Assert.True(report.GetProperty("blockMs").GetDouble() > 0);
    }

    [Fact]
    public void The_tools_own_rows_fill_the_batch_with_and_without_tokenizer()
    {
        JsonElement texts = Bench(models.TinyText, "--rounds", "1");
        Assert.Equal((8, 256), (texts.GetProperty("rows").GetInt32(), texts.GetProperty("tokens").GetInt32()));
        JsonElement ids = Bench(models.Tiny, "--rounds", "1", "--batch", "11");
        Assert.Equal((11, 352), (ids.GetProperty("rows").GetInt32(), ids.GetProperty("tokens").GetInt32()));
    }

    [Fact]
    public void A_person_reads_the_same_figures_with_their_units()
    {
        string policy = Write("policy.json", """{"minimumLayer": 2, "threshold": 0.01}""");
        ToolResult result = ToolRunner.Run(
            "bench", models.TinyExit, "--policy", policy, "--options", Write("options.json", """{"minNewTokens": 6, "maxNewTokens": 6}"""), "--rounds", "2");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        const string Range = @"[\d.]+ \([\d.]+ to [\d.]+\)";
        foreach (string pattern in (string[])
            [
                @"bundle: +.*tiny-v11-exit \(fp32, 8 decoder layers\)", "calls: +8 rows, 1 side by side, 2 rounds, [0-9]+ threads?; medians",
                $"policy: +{Range} tokens/s: 48 tokens in [0-9.]+ s", $"full depth: +{Range} tokens/s: 48 tokens in [0-9.]+ s",
                $"speedup: +{Range} times full depth's tokens/s; without the encoder {Range}",
                "outputs: +[0-8] of 8 equal to full depth's, mean exit layer [0-9.]+",
                "encoder: +[0-9.]+ ms a row", "block: +[0-9.]+ ms in a step", "head: +[0-9.]+ ms over the whole vocabulary",
                "later step: +[0-9.]+ ms at full depth", "bandwidth: +[0-9.]+ GB/s", "bound: +[0-9.]+ ms: a later step reads [0-9.]+ MB",
                "it reaches [0-9.]+ of the bandwidth", "memory: +[0-9]+ MB resident", "load: +[0-9.]+ s until",
            ])
        {
            Assert.Matches(pattern, result.Output);
        }
    }

    /// <summary>A tied fp32 model of one precision: what a step reads can be counted by hand.</summary>
    [Fact]
    public void What_a_step_reads_are_blocks_head_and_the_keys_and_values_of_all_rows()
    {
        string rows = Write("in.jsonl", string.Join('\n', Enumerable.Repeat($$"""{"inputIds": [{{string.Join(", ", Enumerable.Repeat(5, 99))}}, 1]}""", 4)));
        ToolResult result = ToolRunner.Run(
            "bench", models.Restaurants, "--input", rows, "--options", Write("options.json", """{"minNewTokens": 20, "maxNewTokens": 20}"""), "--rounds", "1",
            "--batch", "4");
        Match match = Regex.Match(
            result.Output, @"reads ([\d.]+) MB, ([\d.]+) of blocks, ([\d.]+) of the head, ([\d.]+) of keys and values", RegexOptions.CultureInvariant);
        Assert.True(match.Success, result.Output + result.Error);
        double[] found = [.. match.Groups.Values.Skip(1).Select(group => double.Parse(group.Value, CultureInfo.InvariantCulture))];
        JsonElement sizes = JsonDocument.Parse(ToolRunner.Run("inspect", models.Restaurants, "--json").Output).RootElement.GetProperty("configuration");
        double width = Size("modelDimension"), inner = Size("headCount") * Size("keyValueDimension"), layers = Size("decoderLayerCount");
        double blocks = layers * 4 * ((6 * width * inner) + (2 * width * Size("feedForwardDimension")) + (3 * width));
        // Its screen: a byte a weight, a scale and an error.
        double head = (width + 8) * Size("vocabularySize");
        // The steps from the second to the twentieth read eleven positions on the average, and a hundred of the encoder.
        double keysValues = 4 * layers * 2 * 4 * inner * 111;
        Assert.Equal(blocks / 1e6, found[1], 0.05);
        Assert.Equal(head / 1e6, found[2], 0.05);
        Assert.Equal(keysValues / 1e6, found[3], 0.05);
        Assert.Equal((blocks + head + keysValues) / 1e6, found[0], 0.05);

        int Size(string name) => sizes.GetProperty(name).GetInt32();
    }

    [Fact]
    public void Rows_that_cannot_be_measured_are_left_out_and_said()
    {
        string options = Write("options.json", """{"maxNewTokens": 2, "maxInputTokens": 3}""");
        string rows = Write("in.jsonl", "bad\n{}\n{\"inputIds\": [4, 5, 6, 7, 1]}\n{\"inputIds\": [99999]}\n{\"text\": \"a\"}\n");
        ToolResult result = ToolRunner.Run("bench", models.Tiny, "--input", rows, "--options", options, "--rounds", "1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(1, JsonDocument.Parse(result.Output).RootElement.GetProperty("rows").GetInt32());
        string[] messages = result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("line 3: the input was cut by 2 tokens to 3.", messages[0]);
        Assert.StartsWith("line 1: it is not valid JSON", messages[1]);
        Assert.StartsWith("line 2: it has neither", messages[2]);
        Assert.StartsWith("line 4: Token id 99999", messages[3]);
        Assert.Equal("… and 1 more.", messages[4]);
    }

    [Fact]
    public void Without_a_row_there_is_nothing_to_measure()
    {
        string empty = Write("in.jsonl", "\n \n");
        ToolRunner.Run("bench", models.Tiny, "--input", empty).AssertFailed(1, $"{empty} has no row to measure.");
        ToolResult bad = ToolRunner.Run("bench", models.Tiny, "--input", Write("bad.jsonl", "{}"));
        Assert.Equal((1, ""), (bad.ExitCode, bad.Output));
        Assert.StartsWith("line 1: it has neither", bad.Error);
        ToolRunner.Run("bench", models.Tiny, "--input", _folder.File("none")).AssertFailed(1, "none");
        ToolResult refused = ToolRunner.Run("bench", models.Tiny, "--options", Write("options.json", """{"maxInputTokens": 5, "truncate": false}"""));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("There is no row to measure.", refused.Error);
    }

    [Fact]
    public void Bundles_policies_and_options_that_do_not_fit_are_refused()
    {
        ToolRunner.Run("bench", _folder.File("none")).AssertFailed(1, "no model bundle folder", "none");
        ToolRunner.Run("bench", models.Tiny, "--policy", Write("policy.json", """{"minimumLayer": 7}""")).AssertFailed(1, "policy.json", "minimumLayer", "7");
        ToolRunner.Run("bench", models.Tiny, "--policy", Write("policy.json", """{"treshold": 1}""")).AssertFailed(1, "policy.json", "treshold");
        ToolRunner.Run("bench", models.Tiny, "--options", Write("options.json", """{"minNewTokens": 5, "maxNewTokens": 4}"""))
            .AssertFailed(1, "options.json", "minNewTokens");
    }

    [Theory]
    [InlineData("--rounds is '0'; it must be a whole number from 1 to 1000.", "--rounds", "0")]
    [InlineData("--rounds is 'x'; it must be a whole number from 1 to 1000.", "--rounds", "x")]
    [InlineData("--batch is '0'; it must be a whole number from 1 to 1024.", "--batch", "0")]
    [InlineData("--input and --policy are all '-'", "--input", "-", "--policy", "-")]
    public void Impossible_arguments_are_wrong_usage(string message, params string[] arguments)
    {
        ToolResult result = ToolRunner.Run(["bench", models.Tiny, .. arguments]);
        result.AssertFailed(2, message, "--help");
    }

    [Theory]
    [InlineData("""{"threshold": 1}""")]
    [InlineData("""{"minimumLayer": 6}""")]
    public void A_policy_that_never_exits_is_measured_and_said(string policy)
    {
        string path = Write("policy.json", policy);
        ToolResult result = ToolRunner.Run("bench", models.Tiny, "--policy", path, "--rounds", "1", "--json");
        Assert.Equal((0, $"With {path} no token exits early.{Environment.NewLine}"), (result.ExitCode, result.Error));
        JsonElement report = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal((8, 6.0), (report.GetProperty("equalOutputs").GetInt32(), report.GetProperty("meanExitLayer").GetDouble()));
        Assert.Equal(JsonValueKind.Object, report.GetProperty("speedup").ValueKind);
    }

    [Fact]
    public void Progress_is_shown_on_a_terminal()
    {
        ToolResult result = ToolRunner.Run(new StringWriter(), isTerminal: true, CancellationToken.None, "bench", models.Tiny, "--rounds", "2");
        Assert.Equal(0, result.ExitCode);
        Assert.All(["  6% round 1 of 2", " 50% round 1 of 2", " 56% round 2 of 2", "100% round 2 of 2"], bar => Assert.Contains(bar, result.Error));
    }

    [Fact]
    public void A_cancelled_benchmark_says_what_it_measured()
    {
        using var cancellation = new CancellationTokenSource();
        // The first row of the second round.
        var error = new WatchedWriter(" 25% round 1", "round 2", cancellation.Cancel);
        var output = new StringWriter();
        int code = EarlyExitTool.Run(
            ["bench", models.Tiny, "--rounds", "4"], new ToolContext(output, new MessageWriter(error, isTerminal: true), cancellation.Token));
        Assert.Equal((130, ""), (code, output.ToString()));
        Assert.Matches(@"Measured in 1 round: [\d.]+ \([\d.]+ to [\d.]+\) tokens/s at full depth\.\s+Cancelled\.", error.ToString());

        ToolResult early = ToolRunner.Run(new StringWriter(), isTerminal: false, new CancellationToken(canceled: true), "bench", models.Tiny);
        early.AssertFailed(130, "Cancelled");
        Assert.DoesNotContain("Measured", early.Error);
    }

    [Theory]
    [InlineData("--json")]
    [InlineData()]
    public void A_reader_that_has_left_is_no_failure(params string[] arguments)
    {
        var output = new LeftWriter();
        ToolResult result = ToolRunner.Run(
            output, isTerminal: false, CancellationToken.None,
            ["bench", models.Tiny, "--rounds", "1", "--options", Write("options.json", """{"maxNewTokens": 2}"""), .. arguments]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(1, output.Writes);
    }

    private static int Tokens(JsonElement row) => row.GetProperty("tokenIds").GetArrayLength();

    private static JsonElement Bench(string bundle, params string[] arguments)
    {
        ToolResult result = ToolRunner.Run(["bench", bundle, "--json", .. arguments]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private string Demo(int rows) => Write("in.jsonl", string.Join('\n', File.ReadLines(Repository.Fixture("demo/describe-test.jsonl")).Take(rows)));

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }

    /// <summary>Does something when two texts have been written, one after the other.</summary>
    private sealed class WatchedWriter(string first, string then, Action act) : StringWriter
    {
        private string? _next = first;

        public override void Write(string? value)
        {
            base.Write(value);
            if (_next is null || value is null || !value.Contains(_next, StringComparison.Ordinal))
                return;
            if (_next == then)
                act();
            _next = _next == then ? null : then;
        }
    }

    /// <summary>A pipe that nobody reads any more.</summary>
    private sealed class LeftWriter : StringWriter
    {
        public int Writes { get; private set; }

        public override void WriteLine(string? value)
        {
            Writes++;
            throw new ReaderLeftException();
        }
    }
}
