using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Reproduction;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class ReproduceCommandTests(ConvertedModels models) : IDisposable
{
    /// <summary>Cells of a model of four layers: full depth, what layers say, 3 static exits, and at minimum layers 1, 2 and 3 softmax, weighted and JSD with
    /// 4 prunings, and softmax with the 3 prunings at 1 and the fixed one at 3.</summary>
    private const int CellsPerModel = 2 + 3 + (3 * 6) + 3 + 1;

    private const string Answers = """
        {"id": "a", "text": "question: Who? context: Ann and Ben.", "answers": ["Ann", "Ben"]}
        {"id": "b", "text": "question: Where? context: Here.", "answers": ["Here"]}
        {"id": "c", "text": "question: When? context: Now.", "answers": ["Now"]}
        """;

    private readonly TemporaryFolder _folder = new();

    private string Report => _folder.File("report");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Two_models_are_run_to_a_report()
    {
        string data = Write("data.jsonl", Answers);
        ToolResult result = ToolRunner.Run(
            "reproduce", "--model", $"pre-trained={models.TinyText}", "--model", $"fine-tuned={models.OtherTinyText}", "--data", data, "--output", Report,
            "--samples", "2", "--latency-rows", "1", "--threshold", "0.1", "--options", Options());
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal("", result.Output);
        Assert.Contains($"{2 * CellsPerModel}/{2 * CellsPerModel} cells: fine-tuned, ", result.Error);
        Assert.Contains(" spent, about 0 s left", result.Error);

        Assert.Equal(["cells", "figures", "tables"], Directory.GetDirectories(Report).Select(Path.GetFileName).Order());
        Assert.Equal(["README.md", "settings.json"], Directory.GetFiles(Report).Select(Path.GetFileName).Order());
        Assert.Empty(Directory.GetFiles(Report, "*.partial", SearchOption.AllDirectories));
        Assert.Equal(2 * CellsPerModel, Cells.Length);
        foreach (string model in (string[])["pre-trained", "fine-tuned"])
            CheckCells(model);
        CheckTables();
        string page = File.ReadAllText(Path.Combine(Report, "README.md"));
        Assert.Contains(
            "early-exit reproduce --model pre-trained=tiny-text --model fine-tuned=other-tiny-text --data data.jsonl --format rows --samples 2 ", page);
        Assert.Contains("2 of 3 examples, drawn with seed 1", page);
        Assert.Contains("no numbers for this data set", page);
        Assert.DoesNotContain("not finished", page);
        Assert.All(FiguresOf(page), figure => Assert.True(new FileInfo(Path.Combine(Report, figure)).Length > 1000, figure));
        Assert.Equal(
            [
                "figure-01-ranks", "figure-02-03-confidence-fine-tuned", "figure-02-03-confidence-pre-trained", "figure-04-softmax-pruning",
                "figure-06-measures-fine-tuned", "figure-06-measures-pre-trained", "figure-08-softmax-and-jsd", "figure-10-jsd-pruning-fine-tuned",
                "figure-10-jsd-pruning-pre-trained", "figure-12-baselines-fine-tuned", "figure-12-baselines-pre-trained",
            ],
            FiguresOf(page).Select(Path.GetFileNameWithoutExtension).Order(StringComparer.Ordinal));
        Assert.All((string[])["png", "svg", "csv"], form => Assert.Equal(11, Directory.GetFiles(Path.Combine(Report, "figures"), $"*.{form}").Length));
        Assert.All(Directory.GetFiles(Report, "*", SearchOption.AllDirectories).Where(file => Path.GetExtension(file) != ".png"), file =>
            Assert.DoesNotContain(_folder.Path, File.ReadAllText(file), StringComparison.Ordinal));
    }

    [Fact]
    public void Finished_cells_are_kept_and_damaged_ones_computed_again()
    {
        string[] arguments = Arguments(Answers);
        Succeed(arguments);
        JsonNode kept = ReadCell("tiny-text.softmax-none-02");
        kept["generation"]!["latency"]!["millisecondsPerToken"] = 12345.5;
        WriteCell("tiny-text.softmax-none-02", kept.ToJsonString());
        string[] damaged = ["tiny-text.full-depth", "tiny-text.layers", "tiny-text.static-01", "tiny-text.jsd-none-01"];
        JsonNode[] before = [.. damaged.Select(ReadCell)];
        WriteCell(damaged[0], "{");
        WriteCell(damaged[1], before[1].ToJsonString().Replace("\"layers\":[", "\"gone\":[", StringComparison.Ordinal));
        WriteCell(damaged[2], before[2].ToJsonString().Replace("\"fingerprint\":\"", "\"fingerprint\":\"0", StringComparison.Ordinal));
        File.Delete(CellPath(damaged[3]));

        ToolResult result = Succeed(arguments);
        Assert.Contains($"{CellsPerModel - 4} cells were finished before and are kept.", result.Error);
        Assert.All(damaged[..3], name => Assert.Contains($"'{name}.json' is damaged", result.Error));
        Assert.Equal(4, result.Error.Split('\n').Count(line => line.Contains(" spent", StringComparison.Ordinal)));
        Assert.Equal(12345.5, ReadCell("tiny-text.softmax-none-02")["generation"]!["latency"]!["millisecondsPerToken"]!.GetValue<double>());
        Assert.Contains("| 12345.50 |", File.ReadAllText(Path.Combine(Report, "tables", "cells.md")));
        foreach ((string name, JsonNode cell) in damaged.Zip(before))
            AssertSameNumbers(cell, ReadCell(name));

        Assert.Contains($"All {CellsPerModel} cells were finished before.", Succeed(arguments).Error);
    }

    [Fact]
    public void An_interrupted_run_is_finished_by_the_next_and_gives_the_same_numbers()
    {
        string[] arguments = Arguments(Answers);
        string error = Interrupt(7, arguments);
        Assert.Equal(7, Cells.Length);
        Assert.Contains($"7 of {CellsPerModel} cells are finished and stay in 'report'", error);
        Assert.Contains("Cancelled.", error);
        Assert.Contains($"not finished: 7 of {CellsPerModel} cells", File.ReadAllText(Path.Combine(Report, "README.md")));
        Assert.DoesNotContain(Directory.GetFiles(Report), file => Path.GetFileName(file) == ".running");

        ToolResult rest = ToolRunner.Run(new StringWriter(), isTerminal: true, CancellationToken.None, arguments);
        Assert.Equal(0, rest.ExitCode);
        Assert.Matches($@"\r\[#+\.*\] +\d+% \d+/{CellsPerModel} cells, \d+ s spent, about \d+ s left", rest.Error);
        Assert.DoesNotContain("not finished", File.ReadAllText(Path.Combine(Report, "README.md")));
        JsonNode[] continued = [.. Cells.Select(Parse)];
        Succeed([.. arguments, "--restart"]);
        Assert.Equal(CellsPerModel, continued.Length);
        foreach ((JsonNode before, JsonNode now) in continued.Zip(Cells.Select(Parse)))
            AssertSameNumbers(before, now);
    }

    [Fact]
    public void Another_setting_is_refused_until_told_to_begin_again()
    {
        string[] arguments = [.. Arguments(Answers), "--minimum-layers", "2"];
        Interrupt(1, arguments);
        Assert.Single(Cells);
        ToolRunner.Run([.. arguments, "--seed", "2"]).AssertFailed(1, "data.seed was 1 and is 2", "--restart", "another folder");
        ToolRunner.Run([.. arguments.Select(argument => argument == "0.1" ? "0.25" : argument)]).AssertFailed(1, "threshold was 0.1 and is 0.25");
        ToolRunner.Run(["reproduce", "--model", models.OtherTinyText, .. arguments[3..]])
            .AssertFailed(1, "models[0].name was \"tiny-text\" and is \"other-tiny-text\"", "sha256");
        File.AppendAllText(_folder.File("data.jsonl"), "\n");
        ToolRunner.Run(arguments).AssertFailed(1, "data.sha256 was");
        Assert.Single(Cells);

        File.WriteAllText(Path.Combine(Report, "settings.json"), "{");
        ToolRunner.Run(arguments).AssertFailed(1, "settings.json", "--restart");
        File.WriteAllText(Path.Combine(Report, "notes.txt"), "kept");
        Interrupt(2, [.. arguments, "--restart"]);
        Assert.Equal("kept", File.ReadAllText(Path.Combine(Report, "notes.txt")));
        Assert.Equal(2, Cells.Length);
    }

    [Theory]
    [InlineData("squad", "data.json", """
        {"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": "Ann is here.", "qas": [
        {"id": "q1", "question": "Who is here?", "answers": [{"answer_start": 0, "text": "Ann"}]}]}]}]}
        """, "F1", "| paper, T5-large pre-trained | 7 of 24 | 90.43 | 90.29 | 87.14 | 1.60e12 | 3.99e10 | 2.17e10 |")]
    [InlineData("samsum", "data.json", """[{"id": "1", "summary": "Ann greets.", "dialogue": "Ann: hi"}]""", "ROUGE-L",
        "| paper, T5-large fine-tuned | 2 of 24 | 42.76 | 42.79 | 41.64 | 1.18e13 | 6.44e11 | 2.25e11 |")]
    [InlineData("e2e", "data.csv", "mr,ref\n\"name[Ann's], food[tea]\",\"Ann's has tea.\"\n", "ROUGE-L", "no numbers for this data set")]
    [InlineData("rows", "data.jsonl", """{"text": "describe: tea", "references": ["Tea.", "It is tea."]}""", "ROUGE-L", "no numbers for this data set")]
    [InlineData("tsv", "data.tsv", "tea\tIt is tea.\n", "ROUGE-L", "no numbers for this data set")]
    public void Every_form_of_data_is_found_out_and_has_its_metric_and_published_numbers(string format, string name, string text, string metric, string words)
    {
        Interrupt(1, "reproduce", "--model", models.TinyText, "--data", Write(name, text), "--output", Report, "--options", Options());
        JsonNode settings = Parse(Path.Combine(Report, "settings.json"));
        Assert.Equal(format, settings["data"]!["format"]!.GetValue<string>());
        Assert.Equal(format == "samsum" ? "summarize: " : "", settings["options"]!["prefix"]!.GetValue<string>());
        Assert.Equal(metric, ReadCell("tiny-text.full-depth")["generation"]!["quality"]![0]!["name"]!.GetValue<string>());
        string page = File.ReadAllText(Path.Combine(Report, "README.md"));
        Assert.Contains(words, page);
        Assert.Contains(metric == "F1" ? "## Figure 4: softmax" : "## Figure 5: softmax", page);
        Assert.Equal(format == "squad", page.Contains("| 96.27 |", StringComparison.Ordinal));
        Assert.Equal(
            format == "squad", page.Contains("| paper, T5-large, SQuAD | adaptive | 15, 17, 18, 19, 20 of 24 | 19.31 | 94.19 |", StringComparison.Ordinal));
    }

    [Fact]
    public void An_options_file_decides_about_the_prefix()
    {
        string data = Write("d.json", """[{"id": "1", "summary": "Ann greets.", "dialogue": "Ann: hi"}]""");
        string options = Write("o.json", """{"prefix": "", "maxNewTokens": 2}""");
        Interrupt(1, "reproduce", "--model", models.TinyText, "--data", data, "--output", Report, "--options", options);
        Assert.Equal("", Parse(Path.Combine(Report, "settings.json"))["options"]!["prefix"]!.GetValue<string>());
    }

    [Fact]
    public void Rows_that_fail_are_counted_and_named()
    {
        string data = Write("data.jsonl", """
            {"id": "short", "text": "a", "references": ["a"]}
            {"id": "long", "text": "a b c d e f g h i j", "references": ["a", "b"]}
            """);
        string options = Write("o.json", """{"maxNewTokens": 2, "maxInputTokens": 6, "truncate": false}""");
        Succeed("reproduce", "--model", models.TinyText, "--data", data, "--output", Report, "--options", options, "--minimum-layers", "2");
        JsonNode cell = ReadCell("tiny-text.softmax-none-02");
        Assert.Equal(1, cell["generation"]!["errors"]!.GetValue<int>());
        Assert.Contains("MaxInputTokens", cell["rows"]![1]!["error"]!.GetValue<string>());
        Assert.Equal(50, cell["generation"]!["agreement"]!["value"]!.GetValue<double>() + (cell["rows"]![0]!["isFullDepths"]!.GetValue<bool>() ? 0 : 50));
        Assert.Equal(1, cell["generation"]!["latency"]!["rows"]!.GetValue<int>());
        string page = File.ReadAllText(Path.Combine(Report, "README.md"));
        Assert.Contains("Some rows failed", page);
        Assert.Contains("tiny-text, full depth: 1 of 2 rows", page);
    }

    [Fact]
    public void What_cannot_be_run_is_said_at_once_and_leaves_nothing()
    {
        string data = Write("data.jsonl", Answers);
        Fail("no model", ["--model", _folder.File("none")], _folder.File("none"));
        Fail("no tokenizer", ["--model", models.Tiny], "tokenizer", "spiece.model");
        Fail("no data", ["--data", _folder.File("none.json")], "none.json");
        Fail("empty data", ["--data", Write("empty.jsonl", "")], "empty.jsonl");
        Fail("other data", ["--format", "squad"], "data.jsonl");
        Fail("unknown data", ["--data", Write("x.txt", "no data")], "x.txt");
        Fail("mixed data", ["--data", Write("mixed.jsonl", Answers + "\n" + """{"text": "a", "references": ["b"]}""")], "mixed.jsonl", "answers", "references");
        Fail("deep layers", ["--minimum-layers", "1,4"], "--minimum-layers", "4");
        Fail("bad options", ["--options", Write("bad.json", """{"prefixx": ""}""")], "bad.json", "prefixx");
        Fail("impossible options", ["--options", Write("much.json", """{"minNewTokens": 9, "maxNewTokens": 3}""")], "MinNewTokens");
        Assert.False(Directory.Exists(Report));
        Fail("file for a folder", ["--output", data], "data.jsonl", "folder");
        Fail("foreign folder", ["--output", _folder.Path], "holds something else");
        Assert.Contains("at least 1, or all", ToolRunner.Run("reproduce", "--model", "m", "--data", data, "--output", Report, "--samples", "0").Error);

        void Fail(string what, string[] instead, params string[] words)
        {
            Dictionary<string, string> arguments = new() { ["--model"] = models.TinyText, ["--data"] = data, ["--output"] = Report };
            arguments[instead[0]] = instead[1];
            ToolResult result = ToolRunner.Run(["reproduce", .. arguments.SelectMany(pair => new[] { pair.Key, pair.Value })]);
            Assert.True(result.ExitCode == 1, $"{what}: {result.Error}");
            result.AssertFailed(1, words);
        }
    }

    [Fact]
    public void Two_runs_do_not_write_to_one_folder()
    {
        using ReproductionFolder first = ReproductionFolder.Open(Report);
        Assert.Contains("in use", Assert.Throws<IOException>(() => ReproductionFolder.Open(Report)).Message);
    }

    private void CheckCells(string model)
    {
        JsonNode fullDepth = ReadCell($"{model}.full-depth");
        Assert.Equal(100, Number(fullDepth, "agreement", "value"));
        Assert.Equal(TinyTextCheckpoint.DecoderLayers, Number(fullDepth, "meanExitLayer"));
        Assert.Equal(0, Number(fullDepth, "operationsPerSample", "confidence"));
        Assert.Equal(2, Number(ReadCell($"{model}.static-02"), "meanExitLayer"));
        foreach (string path in Directory.GetFiles(Path.Combine(Report, "cells"), $"{model}.*"))
        {
            if (path.EndsWith(".layers.json", StringComparison.Ordinal))
                continue;
            JsonNode cell = Parse(path);
            Assert.Equal(0, Number(cell, "errors"));
            Assert.Equal(Number(cell, "tokens"), cell["generation"]!["exitLayers"]!.AsArray().Sum(count => count!.GetValue<long>()));
            Assert.Equal(Number(cell, "tokens"), cell["rows"]!.AsArray().Sum(row => row!["tokens"]!.GetValue<int>()));
            Assert.True(Number(cell, "latency", "ratio", "value") > 0);
            Assert.InRange(Number(cell, "quality", 0, "percent", "value"), 0, 100);
        }

        // The policy in a cell is a policy file.
        JsonNode policy = ReadCell($"{model}.jsd-fixed-03")["policy"]!;
        Assert.Equal("jsdContrastive", policy["confidence"]!.GetValue<string>());
        Assert.Equal("fixed", policy["pruning"]!["kind"]!.GetValue<string>());
        Assert.Equal(3, policy["minimumLayer"]!.GetValue<int>());
        JsonArray layers = ReadCell($"{model}.layers")["layers"]!.AsArray();
        Assert.Equal(TinyTextCheckpoint.DecoderLayers, layers.Count);
        Assert.Equal(1, layers[^1]!["shareOfRankZero"]!.GetValue<double>());
        Assert.All(layers[^1]!["rankQuantiles"]!.AsArray(), rank => Assert.Equal(0, rank!.GetValue<double>()));
    }

    private void CheckTables()
    {
        string[] tables = Directory.GetFiles(Path.Combine(Report, "tables"), "*.csv");
        Assert.Equal(9, tables.Length);
        foreach (string table in tables)
        {
            Assert.True(File.Exists(Path.ChangeExtension(table, ".md")));
            string[] lines = File.ReadAllText(table).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
            Assert.True(lines.Length > 2, table);
            Assert.Single(lines.Select(CountFields).Distinct());
        }

        static int CountFields(string line)
        {
            bool isQuoted = false;
            return 1 + line.Count(character => (isQuoted ^= character == '"', character == ',' && !isQuoted).Item2);
        }
    }

    private static void AssertSameNumbers(JsonNode before, JsonNode now)
    {
        foreach (JsonNode cell in (JsonNode[])[before, now])
        {
            cell.AsObject().Remove("seconds");
            (cell["generation"] as JsonObject)?.Remove("latency");
        }

        Assert.Equal(before.ToJsonString(), now.ToJsonString());
    }

    private static IEnumerable<string> FiguresOf(string page) =>
        page.Split('\n').Where(line => line.StartsWith("![", StringComparison.Ordinal))
            .Select(line => line[(line.IndexOf("](", StringComparison.Ordinal) + 2)..^1]);

    private static double Number(JsonNode cell, params ReadOnlySpan<object> path)
    {
        JsonNode node = cell["generation"]!;
        foreach (object step in path)
            node = step is int index ? node[index]! : node[(string)step]!;
        return node.GetValue<double>();
    }

    private static JsonNode Parse(string path) => JsonNode.Parse(File.ReadAllText(path))!;

    private static ToolResult Succeed(params string[] arguments)
    {
        ToolResult result = ToolRunner.Run(arguments);
        Assert.True(result.ExitCode == 0, result.Error);
        return result;
    }

    /// <summary>Presses Ctrl+C after so many cells.</summary>
    /// <returns>What was said.</returns>
    private static string Interrupt(int cells, params string[] arguments)
    {
        using var cancellation = new CancellationTokenSource();
        var error = new WatchedWriter(" spent", cells, cancellation.Cancel);
        int code = EarlyExitTool.Run(arguments, new ToolContext(new StringWriter(), new MessageWriter(error, isTerminal: false), cancellation.Token));
        Assert.True(code == 130, error.ToString());
        return error.ToString();
    }

    private string[] Arguments(string rows) =>
    [
        "reproduce", "--model", models.TinyText, "--data", Write("data.jsonl", rows), "--output", Report, "--samples", "all",
        "--latency-rows", "1", "--threshold", "0.1",
        "--options", Options(),
    ];

    private string[] Cells => [.. Directory.GetFiles(Path.Combine(Report, "cells"), "*.json").Order(StringComparer.Ordinal)];

    private string CellPath(string name) => Path.Combine(Report, "cells", $"{name}.json");

    private JsonNode ReadCell(string name) => Parse(CellPath(name));

    private void WriteCell(string name, string json) => File.WriteAllText(CellPath(name), json);

    private string Options() => Write("options.json", """{"maxNewTokens": 3}""");

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }

    /// <summary>Does something when so many lines with a word have been written.</summary>
    private sealed class WatchedWriter(string word, int lines, Action act) : StringWriter
    {
        private int _lines;

        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            if (value!.Contains(word, StringComparison.Ordinal) && ++_lines == lines)
                act();
        }
    }
}
