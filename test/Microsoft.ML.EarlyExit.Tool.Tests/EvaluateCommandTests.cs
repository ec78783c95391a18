using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class EvaluateCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Rouge_writes_the_whole_and_a_line_for_every_row()
    {
        ToolResult result = Evaluate(
            "rouge",
            """{"prediction": "the cats sat", "reference": "the cat sat"}""",
            "",
            """{"text": "a b", "references": ["x", "a b"], "id": 5, "unknown": {}}""",
            """{"prediction": "", "reference": ""}""");

        Assert.Equal((0, "Evaluated 3 rows.\n"), (result.ExitCode, result.Error));
        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(
            ["rows", "badRows", "rouge1", "rouge2", "rougeL", "rougeLsum", "letters", "droppedLetters", "mostLines"],
            whole.EnumerateObject().Select(property => property.Name));
        Assert.Equal((2 / 3.0 + 1) / 3, whole.GetProperty("rouge1").GetProperty("fMeasure").GetDouble(), 1e-12);
        JsonElement[] rows = Rows();
        Assert.Equal([2 / 3.0, 1, 0], rows.Select(row => row.GetProperty("rougeL").GetProperty("recall").GetDouble()));
        Assert.Equal(1, Rows("--stemmer")[0].GetProperty("rougeL").GetProperty("recall").GetDouble());
        Assert.Equal([2 / 3.0, 0.5, 0], Rows("--average").Select(row => row.GetProperty("rouge1").GetProperty("recall").GetDouble()));

        JsonElement[] Rows(params string[] options)
        {
            if (options.Length > 0)
                Assert.Equal(0, Run("rouge", options).ExitCode);
            return [.. File.ReadAllLines(_folder.File("rows.jsonl")).Select(line => JsonDocument.Parse(line).RootElement)];
        }
    }

    [Fact]
    public void Letters_that_ROUGE_drops_are_counted_and_warned_of_and_Unicode_words_are_a_way_out()
    {
        const string Row = """{"prediction": "Это хороший ресторан", "reference": "Это хороший ресторан"}""";
        ToolResult result = Evaluate("rouge", Row);
        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith(
            "ROUGE's tokenizer, which knows the letters a to z only, drops 36 of 36 letters (100 %) of the texts, "
            + "and its scores know nothing of them: --rouge-tokenizer unicode", result.Error);
        Assert.Equal((36, 36, 0.0), (whole.GetProperty("letters").GetInt32(), whole.GetProperty("droppedLetters").GetInt32(), FMeasure(whole, "rougeL")));

        result = Run("rouge", "--rouge-tokenizer", "unicode");
        whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.DoesNotContain("tokenizer", result.Error);
        Assert.Equal((36, 0, 1.0), (whole.GetProperty("letters").GetInt32(), whole.GetProperty("droppedLetters").GetInt32(), FMeasure(whole, "rougeL")));
    }

    [Fact]
    public void Sentences_are_lines_on_request()
    {
        const string Row = """{"prediction": "The cat sat. A dog barked.", "reference": "A dog barked. The cat sat."}""";
        JsonElement plain = JsonDocument.Parse(Evaluate("rouge", Row).Output).RootElement;
        ToolResult split = Run("rouge", "--split-sentences");
        Assert.Equal("Evaluated 1 row.\n", split.Error);
        JsonElement whole = JsonDocument.Parse(split.Output).RootElement;
        Assert.Equal((0.5, 0.5, 1), (FMeasure(plain, "rougeL"), FMeasure(plain, "rougeLsum"), plain.GetProperty("mostLines").GetInt32()));
        Assert.Equal((0.5, 1.0, 2), (FMeasure(whole, "rougeL"), FMeasure(whole, "rougeLsum"), whole.GetProperty("mostLines").GetInt32()));
    }

    [Fact]
    public void BLEU_and_chrF_have_the_tokens_case_and_words_that_are_asked_for()
    {
        Evaluate("rouge", """{"prediction": "The Cat SAT 我们在吃饭", "reference": "the cat sat 我们吃饭"}""");
        string[] predictions = ["The Cat SAT 我们在吃饭"];
        string[][] references = [["the cat sat 我们吃饭"]];

        JsonElement bleu = JsonDocument.Parse(
            ToolRunner.Run("evaluate", "bleu", "--input", _folder.File("in.jsonl"), "--tokenize", "zh", "--lowercase").Output).RootElement;
        JsonElement chrf = JsonDocument.Parse(ToolRunner.Run("evaluate", "chrf", "--input", _folder.File("in.jsonl"), "--word-order", "2").Output).RootElement;

        BleuScore expected = BleuScorer.Score(predictions, references, BleuTokenizer.Zh, lowercase: true);
        Assert.Equal((expected.Score, expected.Signature), (bleu.GetProperty("score").GetDouble(), bleu.GetProperty("signature").GetString()));
        Assert.Contains("case:lc|eff:no|tok:zh", expected.Signature);
        ChrfScore expectedChrf = ChrfScorer.Score(predictions, references, wordOrder: 2);
        Assert.Equal((expectedChrf.Score, expectedChrf.Signature), (chrf.GetProperty("score").GetDouble(), chrf.GetProperty("signature").GetString()));
    }

    [Fact]
    public void Answers_may_be_as_data_sets_have_them()
    {
        ToolResult result = Evaluate(
            "squad", """{"text": "Eagle", "answers": {"text": ["no", "The Eagle"], "answer_start": [3, 9]}}""",
            """{"text": "a", "answers": {"text": []}}""", """{"text": "a", "answers": {}}""", """{"text": "a", "answers": {"text": "a"}}""");
        Assert.Equal(
            [
                """{"exactMatch":1,"f1":1}""", """{"error":"line 2: it has no answers."}""",
                """{"error":"line 3: answers is an object without text."}""", """{"error":"line 4: answers.text is not an array of strings."}""",
            ],
            File.ReadAllLines(_folder.File("rows.jsonl")));
        Assert.Equal(100, JsonDocument.Parse(result.Output).RootElement.GetProperty("f1").GetDouble());
    }

    private static double FMeasure(JsonElement whole, string name) => whole.GetProperty(name).GetProperty("fMeasure").GetDouble();

    [Fact]
    public void Squad_is_in_percent_for_the_whole_and_in_shares_for_rows()
    {
        ToolResult result = Evaluate(
            "squad", """{"prediction": "The Eagle!", "answers": ["no", "eagle"]}""", """{"text": "red car", "answers": ["red bus"]}""");

        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal((50.0, 75.0), (whole.GetProperty("exactMatch").GetDouble(), whole.GetProperty("f1").GetDouble()));
        Assert.Equal(["""{"exactMatch":1,"f1":1}""", """{"exactMatch":0,"f1":0.5}"""], File.ReadAllLines(_folder.File("rows.jsonl")));
    }

    [Theory]
    [InlineData("bleu")]
    [InlineData("chrf")]
    public void Corpus_metrics_have_intervals_on_request(string kind)
    {
        File.WriteAllLines(
            _folder.File("in.jsonl"),
            Enumerable.Range(0, 30).Select(i => $$"""{"prediction": "a b c d e f {{i % 5}}", "reference": "a b c d e f {{i % 3}}"}"""));

        ToolResult result = ToolRunner.Run("evaluate", kind, "--input", _folder.File("in.jsonl"), "--bootstrap", "200", "--seed", "3");
        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;

        JsonElement interval = whole.GetProperty("intervals").GetProperty("score");
        Assert.InRange(whole.GetProperty("score").GetDouble(), interval[0].GetDouble(), interval[1].GetDouble());
        Assert.InRange(interval[0].GetDouble(), 10, 100);
        Assert.Equal(result.Output, ToolRunner.Run("evaluate", kind, "--input", _folder.File("in.jsonl"), "--bootstrap", "200", "--seed", "3").Output);
    }

    [Fact]
    public void Exits_reads_what_generate_writes()
    {
        ToolResult result = Evaluate(
            "exits",
            """{"id": 1, "text": "a", "exitLayers": [1, 2, 3], "stopReason": "endOfSequence", "flops": {"decoder": 10, "statePropagation": 1, "confidence": 2, "head": 3, "paper": 4}}""",
            """{"id": 2, "text": "a", "exitLayers": [3], "stopReason": "maxNewTokens", "flops": {"decoder": 20, "statePropagation": 1, "confidence": 2, "head": 3, "paper": 4}}""",
            """{"id": 3, "text": "", "exitLayers": [], "stopReason": "error", "error": "…"}""");

        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(
            (3, 1, 4, 2.25),
            (whole.GetProperty("rows").GetInt32(), whole.GetProperty("badRows").GetInt32(),
                whole.GetProperty("tokens").GetInt32(), whole.GetProperty("meanExitLayer").GetDouble()));
        Assert.Equal("""{"1":1,"2":1,"3":2}""", JsonSerializer.Serialize(whole.GetProperty("histogram")));
        Assert.Equal("[2,2,3]", JsonSerializer.Serialize(whole.GetProperty("meanExitLayerByPosition")));
        Assert.Equal("""{"endOfSequence":1,"error":1,"maxNewTokens":1}""", JsonSerializer.Serialize(whole.GetProperty("stopReasons")));
        Assert.Equal(15, whole.GetProperty("meanFlops").GetProperty("decoder").GetDouble());
        Assert.Equal(
            ["""{"tokens":3,"meanExitLayer":2}""", """{"tokens":1,"meanExitLayer":3}""", """{"error":"line 3: its generation failed."}"""],
            File.ReadAllLines(_folder.File("rows.jsonl")));
    }

    [Theory]
    [InlineData("rouge", """{"prediction": "a"}""", "line 1: it has neither reference nor references.")]
    [InlineData("rouge", """{"reference": "a"}""", "line 1: it has neither prediction nor text.")]
    [InlineData("rouge", """{"prediction": null, "text": null, "reference": "a"}""", "line 1: it has neither prediction nor text.")]
    [InlineData("rouge", """{"prediction": 5, "reference": "a"}""", "line 1: prediction is not a string.")]
    [InlineData("rouge", """{"prediction": "a", "references": "a"}""", "line 1: references is not an array of strings.")]
    [InlineData("rouge", """{"prediction": "a", "references": ["a", 1]}""", "line 1: references[1] is not a string.")]
    [InlineData("rouge", """{"prediction": "a", "references": []}""", "line 1: it has neither reference nor references.")]
    [InlineData("rouge", """{"prediction": "a", "reference": "a", "references": ["a"]}""", "line 1: it has both reference and references; give one of them.")]
    [InlineData("rouge", """{"prediction": "a", "prediction": "b", "reference": "a"}""", "line 1: it is not valid JSON: Duplicate property 'prediction'")]
    [InlineData(
        "rouge", """{"prediction": "a", "reference": "a", "\ud800": 1, "\ud800": 2}""", "line 1: it is not valid JSON: a string in it is not valid Unicode.")]
    [InlineData(
        "rouge", """{"prediction": "a", "reference": "a",}""", "line 1: it is not valid JSON: a comma stands before a closing bracket; remove it (byte 38).")]
    [InlineData("rouge", """["a"]""", "line 1: it is not a JSON object.")]
    [InlineData("rouge", """{"prediction": "a",""", "line 1: it is not valid JSON:")]
    [InlineData("rouge", """{"text": "a", "reference": "a", "stopReason": "error"}""", "line 1: its generation failed.")]
    [InlineData("squad", """{"prediction": "a", "reference": "a"}""", "line 1: it has no answers.")]
    [InlineData("exits", """{"text": "a"}""", "line 1: it has no array exitLayers, as generate writes it.")]
    [InlineData("exits", """{"exitLayers": [1, 0]}""", "line 1: exitLayers[1] is not a number of layers from 1 to 1024.")]
    [InlineData("exits", """{"exitLayers": [1], "flops": {"decoder": 1.5}}""", "line 1: flops.decoder is not a whole number of operations.")]
    public void A_bad_row_says_why_and_leaves_the_others_alone(string kind, string row, string error)
    {
        string good = """{"prediction": "a", "reference": "a"}""";
        if (kind != "rouge")
            good = kind == "squad" ? """{"prediction": "a", "answers": ["a"]}""" : """{"exitLayers": [1]}""";

        ToolResult result = Evaluate(kind, row, good);

        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith(error, result.Error);
        Assert.EndsWith($".\nEvaluated 2 rows, but for 1 that cannot be; '{_folder.File("rows.jsonl")}' says why.\n", result.Error);
        string[] lines = File.ReadAllLines(_folder.File("rows.jsonl"));
        Assert.StartsWith(error, JsonDocument.Parse(lines[0]).RootElement.GetProperty("error").GetString());
        Assert.DoesNotContain("error", lines[1]);
        JsonElement whole = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal((2, 1), (whole.GetProperty("rows").GetInt32(), whole.GetProperty("badRows").GetInt32()));
    }

    [Fact]
    public void Half_a_surrogate_pair_and_invalid_bytes_do_no_harm()
    {
        File.WriteAllBytes(
            _folder.File("in.jsonl"),
            [.. "{\"prediction\": \"a\\ud800\", \"reference\": \"a\"}\n{\"prediction\": \""u8, 0xFF, .. "\", \"reference\": \"a\"}\n"u8]);

        Assert.Equal(0, Run("rouge").ExitCode);

        string[] lines = File.ReadAllLines(_folder.File("rows.jsonl"));
        Assert.Equal(1, JsonDocument.Parse(lines[0]).RootElement.GetProperty("rouge1").GetProperty("fMeasure").GetDouble());
        Assert.Equal("""{"error":"line 2: it is not valid UTF-8."}""", lines[1]);
    }

    [Fact]
    public void Bad_files_and_options_are_refused_in_a_sentence()
    {
        File.WriteAllText(_folder.File("empty.jsonl"), "\n \n");
        ToolResult empty = ToolRunner.Run("evaluate", "rouge", "--input", _folder.File("empty.jsonl"));
        Assert.Equal((1, $"{_folder.File("empty.jsonl")}: there is no row to evaluate.\n"), (empty.ExitCode, empty.Error));

        Assert.Equal(1, ToolRunner.Run("evaluate", "rouge", "--input", _folder.File("none.jsonl")).ExitCode);
        Assert.Equal(2, ToolRunner.Run("evaluate", "rouge").ExitCode);
        Assert.Contains("KIND is 'meteor'", ToolRunner.Run("evaluate", "meteor", "--input", "x").Error);
        Assert.Contains("--stemmer is for rouge.", ToolRunner.Run("evaluate", "squad", "--input", "x", "--stemmer").Error);
        Assert.Contains("--rouge-tokenizer is for rouge.", ToolRunner.Run("evaluate", "bleu", "--input", "x", "--rouge-tokenizer", "unicode").Error);
        Assert.Contains("--split-sentences is for rouge.", ToolRunner.Run("evaluate", "chrf", "--input", "x", "--split-sentences").Error);
        Assert.Contains("--lowercase is for bleu.", ToolRunner.Run("evaluate", "rouge", "--input", "x", "--lowercase").Error);
        Assert.Contains("--word-order is for chrf.", ToolRunner.Run("evaluate", "bleu", "--input", "x", "--word-order", "2").Error);
        Assert.Contains(
            "--rouge-tokenizer is 'words'; it must be one of rouge, unicode.",
            ToolRunner.Run("evaluate", "rouge", "--input", "x", "--rouge-tokenizer", "words").Error);
        Assert.Contains(
            "--tokenize is 'ja-mecab'; it must be one of 13a, intl, zh, char, none.",
            ToolRunner.Run("evaluate", "bleu", "--input", "x", "--tokenize", "ja-mecab").Error);
        Assert.Contains("--word-order is '3'; it must be one of 0, 1, 2.", ToolRunner.Run("evaluate", "chrf", "--input", "x", "--word-order", "3").Error);
        Assert.Contains("--rows is for rouge, squad and exits", ToolRunner.Run("evaluate", "bleu", "--input", "x", "--rows", "y").Error);
        Assert.Contains("--bootstrap is '0'", ToolRunner.Run("evaluate", "bleu", "--input", "x", "--bootstrap", "0").Error);
    }

    [Fact]
    public void Interrupted_rows_stay_beside_the_output()
    {
        File.WriteAllLines(_folder.File("in.jsonl"), Enumerable.Repeat("""{"prediction": "a", "reference": "a"}""", 3));

        ToolResult result = ToolRunner.Run(
            new StringWriter(), isTerminal: false, new CancellationToken(canceled: true),
            "evaluate", "rouge", "--input", _folder.File("in.jsonl"), "--rows", _folder.File("rows.jsonl"), "--output", _folder.File("out.json"));

        Assert.Equal(130, result.ExitCode);
        Assert.False(File.Exists(_folder.File("rows.jsonl")));
        Assert.False(File.Exists(_folder.File("out.json")));
    }

    private ToolResult Evaluate(string kind, params string[] rows)
    {
        File.WriteAllLines(_folder.File("in.jsonl"), rows);
        return Run(kind);
    }

    private ToolResult Run(string kind, params string[] options) =>
        ToolRunner.Run(["evaluate", kind, "--input", _folder.File("in.jsonl"), "--rows", _folder.File("rows.jsonl"), .. options]);
}
