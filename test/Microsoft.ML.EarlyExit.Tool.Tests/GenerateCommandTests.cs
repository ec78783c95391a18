using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class GenerateCommandTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_text_becomes_one_row_without_id()
    {
        ToolResult result = ToolRunner.Run("generate", models.Restaurants, "--text", "describe: name[The Waterman], eatType[pub]");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        JsonElement row = Assert.Single(result.Rows);
        Assert.Equal(
            ["id", "text", "tokenIds", "exitLayers", "confidences", "stopReason"],
            row.EnumerateObject().Select(property => property.Name));
        Assert.Equal(JsonValueKind.Null, row.GetProperty("id").ValueKind);
        Assert.Contains("The Waterman", row.GetProperty("text").GetString());
        int count = row.GetProperty("tokenIds").GetArrayLength();
        Assert.Equal(1, row.GetProperty("tokenIds")[count - 1].GetInt32());
        Assert.Equal("endOfSequence", row.GetProperty("stopReason").GetString());
        Assert.Equal(count, row.GetProperty("exitLayers").GetArrayLength());
        Assert.All(row.GetProperty("exitLayers").EnumerateArray(), layer => Assert.Equal(12, layer.GetInt32()));
        Assert.Equal(count, row.GetProperty("confidences").GetArrayLength());
        Assert.All(row.GetProperty("confidences").EnumerateArray(), confidence => Assert.Equal(JsonValueKind.Null, confidence.ValueKind));
    }

    [Theory]
    [InlineData("")]
    [InlineData("--input")]
    [InlineData("-x")]
    [InlineData("@file")]
    [InlineData("[diagram]")]
    public void A_text_may_look_like_an_argument(string text)
    {
        string options = Options("""{"maxNewTokens": 4}""");
        ToolResult result = ToolRunner.Run("generate", models.Restaurants, "--text", text, "--options", options);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(Generate(models.Restaurants, JsonSerializer.Serialize(new { text }), "--options", options).Output, result.Output);
    }

    [Theory]
    [InlineData("5")]
    [InlineData("1.50")]
    [InlineData("12345678901234567890123")]
    [InlineData("\"a\\u0062\\/é\\ud800\"")]
    [InlineData("null")]
    [InlineData("true")]
    [InlineData("[1, {\"x\":  2}]")]
    [InlineData("{\"b\":1,\"a\":\"]\"}")]
    public void Ids_return_as_given(string id)
    {
        ToolResult result = Generate(models.Tiny, $$"""{"inputIds": [5, 1], "id": {{id}}}""");
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith($"{{\"id\":{id},\"text\":null,", result.Output);
    }

    [Fact]
    public void Other_fields_return_as_given_after_the_own()
    {
        ToolResult result = Generate(
            models.Tiny,
            """{"references": ["a",  "b\u0062"], "inputIds": [5, 1], "\u0061nswer" : 1.0, "é": "\ud800", "text": null, "tokenIds": [9], "steps": [], "error": "old", "id": 1, "z": {"id": 2}}""");
        Assert.Equal(0, result.ExitCode);
        Assert.EndsWith(""","references": ["a",  "b\u0062"],"\u0061nswer" : 1.0,"é": "\ud800","z": {"id": 2}}""" + "\n", result.Output);
        string[] names = [.. Assert.Single(result.Rows).EnumerateObject().Where(property => property.Name != "é").Select(property => property.Name)];
        Assert.Equal(["id", "text", "tokenIds", "exitLayers", "confidences", "stopReason", "references", "answer", "z"], names);
    }

    [Fact]
    public void Output_can_be_input_again()
    {
        string rows = string.Join('\n', File.ReadLines(Repository.Fixture("demo/describe-test.jsonl")).Take(2));
        string options = Options("""{"maxNewTokens": 8}""");
        ToolResult first = Generate(models.Restaurants, rows, "--options", options);
        ToolResult second = Generate(models.Restaurants, first.Output, "--options", options, "--trace");
        Assert.Equal(0, second.ExitCode);
        Assert.Equal(
            first.Rows.Select(row => row.GetProperty("references").GetRawText()),
            second.Rows.Select(row => row.GetProperty("references").GetRawText()));
        Assert.All(second.Rows, row => Assert.Equal(8, row.EnumerateObject().Select(property => property.Name).Distinct().Count()));
    }

    [Fact]
    public void Text_stays_readable()
    {
        ToolResult result = Generate(models.Tiny, """{"id": "Ä – 日本 😀 'q' <b>", "inputIds": [1]}""");
        Assert.StartsWith("""{"id":"Ä – 日本 😀 'q' <b>",""", result.Output);
    }

    [Fact]
    public void Half_a_surrogate_pair_in_a_text_counts_as_the_replacement_character()
    {
        string options = Options("""{"maxNewTokens": 4}""");
        ToolResult result = Generate(
            models.Restaurants,
            """{"text": "a\\ud800 \ud800 \ud83d\ude00 \udc00\ud800"}""" + "\n"
                + """{"text": "a\\ud800 \ufffd 😀 \ufffd\ufffd"}""",
            "--options", options);
        Assert.Equal(0, result.ExitCode);
        string[] rows = result.Output.Split('\n');
        Assert.Equal(rows[1], rows[0]);
        Assert.NotEqual("error", result.Rows[0].GetProperty("stopReason").GetString());
    }

    [Fact]
    public void Bad_rows_become_error_rows_and_stop_no_other()
    {
        (string Line, string Id, string[] Words)[] bad =
        [
            ("not json", "null", ["line 1", "JSON"]),
            ("""{"id": 2}""", "2", ["line 2", "neither text nor inputIds"]),
            ("""{"id": 3, "text": "a", "inputIds": [1]}""", "3", ["line 3", "both text and inputIds"]),
            ("""{"id": 4, "text": 5}""", "4", ["line 4", "text is not a string"]),
            ("""{"id": 5, "inputIds": "1"}""", "5", ["line 5", "inputIds is not an array"]),
            ("""{"id": 6, "inputIds": [1, 2.5]}""", "6", ["line 6", "inputIds[1] is 2.5"]),
            ("""{"id": 7, "inputIds": [[[1]], {"a": 1}]}""", "7", ["line 7", "inputIds[0] is [[1]]"]),
            ("""{"id": 8, "inputIds": [99999999999]}""", "8", ["line 8", "99999999999"]),
            ("""{"id": 9, "inputIds": [1], "x": 1, "\u0078": 2}""", "9", ["line 9", "'x' occurs twice"]),
            ("""{"id": 10, "id": 11, "inputIds": [1]}""", "null", ["line 10", "'id' occurs twice"]),
            ("""{"id": 11, "inputIds": [1]""", "11", ["line 11", "JSON"]),
            ("""{"id": 12, "inputIds": [1]} {}""", "12", ["line 12", "JSON"]),
            ("[1]", "null", ["line 13", "not a JSON object"]),
            ("""{"id": 14, "inputIds": []}""", "14", ["line 14", "no token ids"]),
            ("""{"id": 15, "inputIds": [5, 512]}""", "15", ["line 15", "512", "0 to 511"]),
            ("""{"id": 16, "inputIds": [-1]}""", "16", ["line 16", "-1"]),
            ("""{"id": 17, "text": "no tokenizer"}""", "17", ["line 17", "tokenizer"]),
            ($$"""{"id": 18, "x": {{new string('[', 1000)}}""", "18", ["line 18", "JSON"]),
        ];
        string good = """{"id": "good", "inputIds": [5, 6, 1]}""";
        string input = string.Join('\n', bad.SelectMany((row, index) => index == bad.Length - 1 ? (string[])[row.Line, good] : [row.Line]));
        ToolResult result = Generate(models.Tiny, input, "--batch", "4");
        Assert.Equal(0, result.ExitCode);
        JsonElement[] rows = result.Rows;
        Assert.Equal(bad.Length + 1, rows.Length);
        foreach ((JsonElement row, (string line, string id, string[] words)) in rows.Zip(bad))
        {
            Assert.Equal("error", row.GetProperty("stopReason").GetString());
            Assert.Equal(id, row.GetProperty("id").GetRawText());
            Assert.All(words, word => Assert.Contains(word, row.GetProperty("error").GetString(), StringComparison.Ordinal));
            Assert.Equal(0, row.GetProperty("tokenIds").GetArrayLength());
        }

        Assert.Equal("good", rows[^1].GetProperty("id").GetString());
        Assert.NotEqual("error", rows[^1].GetProperty("stopReason").GetString());
        Assert.Contains($"{bad.Length} of them are errors", result.Error);
    }

    [Fact]
    public void An_error_row_keeps_its_other_fields()
    {
        JsonElement row = Assert.Single(Generate(models.Tiny, """{"id": 1, "reference": "r"}""").Rows);
        Assert.Equal("r", row.GetProperty("reference").GetString());
    }

    [Fact]
    public void Invalid_utf8_is_an_error_row()
    {
        byte[] line = [.. """{"id": 1, "x": """u8, (byte)'"', 0xFF, (byte)'"', .. ""","inputIds": [1]}"""u8];
        File.WriteAllBytes(_folder.File("in.jsonl"), line);
        JsonElement row = Assert.Single(ToolRunner.Run("generate", models.Tiny, "--input", _folder.File("in.jsonl")).Rows);
        Assert.Contains("UTF-8", row.GetProperty("error").GetString());
    }

    [Fact]
    public void An_endless_line_is_an_error_row_and_the_next_one_is_read()
    {
        ToolResult result = Generate(models.Tiny, $$"""{"id": "{{new string('a', 17 << 20)}}"}""" + "\n" + """{"id": 2, "inputIds": [1]}""");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("line 1: the line has more than", result.Rows[0].GetProperty("error").GetString());
        Assert.Equal(2, result.Rows[1].GetProperty("id").GetInt32());
    }

    [Fact]
    public void Blank_lines_byte_order_mark_and_carriage_returns_are_nothing()
    {
        ToolResult result = Generate(models.Tiny, "\ufeff{\"id\": 1, \"inputIds\": [1]}\r\n\r\n  \t\n{\"id\": 4, \"inputIds\": [-1]}\r\n\n");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal([1, 4], result.Rows.Select(row => row.GetProperty("id").GetInt32()));
        Assert.Contains("line 4:", result.Rows[1].GetProperty("error").GetString());
        ToolResult empty = Generate(models.Tiny, "\n");
        Assert.Equal((0, ""), (empty.ExitCode, empty.Output));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("""{"threshold": 0.4, "minimumLayer": 3}""")]
    [InlineData("""{"staticExitLayer": 4}""")]
    public void A_batch_changes_nothing(string? policy)
    {
        var random = new Random(1);
        string rows = string.Join('\n', Enumerable.Range(0, 11).Select(row =>
            row == 3
                ? "bad"
                : $$"""{"id": {{row}}, "inputIds": [{{string.Join(", ", Enumerable.Range(0, 1 + (row * 3)).Select(_ => random.Next(2, 1000)))}}, 1]}"""));
        string[] more = ["--options", Options("""{"maxNewTokens": 16}"""), "--trace"];
        if (policy is not null)
            more = [.. more, "--policy", Policy(policy)];
        ToolResult one = Generate(models.TinyExit, rows, more);
        ToolResult four = Generate(models.TinyExit, rows, [.. more, "--batch", "4"]);
        Assert.Equal((0, 0), (one.ExitCode, four.ExitCode));
        Assert.Equal(11, one.Rows.Length);
        Assert.Equal(one.Rows.Select(Discrete), four.Rows.Select(Discrete));

        static string Discrete(JsonElement row) =>
            $"{row.GetProperty("id")} {row.GetProperty("tokenIds")} {row.GetProperty("exitLayers")} {row.GetProperty("stopReason")}";
    }

    [Fact]
    public void Trace_lists_every_evaluation()
    {
        string input = """{"id": 1, "inputIds": [7, 99, 300, 1]}""";
        string[] more = ["--policy", Policy("""{"threshold": 0.4, "minimumLayer": 3}"""), "--options", Options("""{"maxNewTokens": 12}""")];
        JsonElement row = Assert.Single(Generate(models.TinyExit, input, [.. more, "--trace"]).Rows);
        Assert.False(Assert.Single(Generate(models.TinyExit, input, more).Rows).TryGetProperty("steps", out _));
        JsonElement[] steps = [.. row.GetProperty("steps").EnumerateArray()];
        Assert.Equal(row.GetProperty("tokenIds").GetArrayLength(), steps.Length);
        for (int index = 0; index < steps.Length; index++)
        {
            Assert.Equal(["tokenId", "exitLayer", "evaluations"], steps[index].EnumerateObject().Select(property => property.Name));
            Assert.Equal(row.GetProperty("tokenIds")[index].GetInt32(), steps[index].GetProperty("tokenId").GetInt32());
            int exit = steps[index].GetProperty("exitLayer").GetInt32();
            Assert.Equal(row.GetProperty("exitLayers")[index].GetInt32(), exit);
            JsonElement[] evaluations = [.. steps[index].GetProperty("evaluations").EnumerateArray()];
            Assert.Equal(Enumerable.Range(3, Math.Min(exit, 7) - 2), evaluations.Select(evaluation => evaluation.GetProperty("layer").GetInt32()));
            Assert.Equal(row.GetProperty("confidences")[index].GetRawText(), evaluations[^1].GetProperty("confidence").GetRawText());
            Assert.All(evaluations, evaluation =>
            {
                Assert.Equal(["layer", "confidence", "rows", "amateurLayer"], evaluation.EnumerateObject().Select(property => property.Name));
                Assert.Equal(1024, evaluation.GetProperty("rows").GetInt32());
                Assert.Equal(JsonValueKind.Null, evaluation.GetProperty("amateurLayer").ValueKind);
            });
        }
    }

    [Fact]
    public void Options_are_followed()
    {
        string input = """{"id": 1, "text": "name[The Waterman], eatType[pub]"}""";
        ToolResult prefixed = Generate(models.Restaurants, input, "--options", Options("""{"prefix": "describe: ", "maxNewTokens": 3}"""));
        ToolResult whole = ToolRunner.Run("generate", models.Restaurants, "--text", "describe: name[The Waterman], eatType[pub]");
        Assert.Equal(
            whole.Rows[0].GetProperty("tokenIds").EnumerateArray().Take(3).Select(id => id.GetInt32()),
            prefixed.Rows[0].GetProperty("tokenIds").EnumerateArray().Select(id => id.GetInt32()));
        Assert.Equal("maxNewTokens", prefixed.Rows[0].GetProperty("stopReason").GetString());
    }

    [Fact]
    public void A_cut_input_is_reported_with_its_line_or_refused()
    {
        string input = """{"id": 1, "inputIds": [5, 1]}""" + "\n" + """{"id": 2, "inputIds": [5, 6, 7, 8, 9, 1]}""";
        ToolResult cut = Generate(models.Tiny, input, "--options", Options("""{"maxInputTokens": 4}"""), "--batch", "2");
        Assert.Equal(0, cut.ExitCode);
        Assert.Contains("line 2: the input was cut by 2 tokens to 4", cut.Error);
        Assert.DoesNotContain("line 1", cut.Error);
        ToolResult asCut = Generate(models.Tiny, """{"id": 2, "inputIds": [5, 6, 7, 1]}""");
        Assert.Equal(asCut.Rows[0].GetProperty("tokenIds").GetRawText(), cut.Rows[1].GetProperty("tokenIds").GetRawText());
        ToolResult refused = Generate(models.Tiny, input, "--options", Options("""{"maxInputTokens": 4, "truncate": false}"""));
        Assert.Equal(0, refused.ExitCode);
        Assert.NotEqual("error", refused.Rows[0].GetProperty("stopReason").GetString());
        Assert.Equal("error", refused.Rows[1].GetProperty("stopReason").GetString());
        Assert.Equal(
            "line 2: The input has 6 tokens, more than maxInputTokens, which is 4. Shorten it, raise maxInputTokens, or set truncate.",
            refused.Rows[1].GetProperty("error").GetString());
    }

    [Fact]
    public void Confidences_round_trip()
    {
        JsonElement row = Assert.Single(Generate(models.TinyExit, """{"inputIds": [7, 99, 300, 1]}""", "--policy", Policy("""{"threshold": 1}""")).Rows);
        using EarlyExitModel model = EarlyExitModel.Load(models.TinyExit);
        GenerationResult expected = model.Generate(
            [GenerationInput.FromTokenIds([7, 99, 300, 1])], new TextGenerationOptions { Exit = new ExitPolicy { Threshold = 1 } })[0];
        Assert.Equal(expected.Confidences, row.GetProperty("confidences").EnumerateArray().Select(confidence => confidence.GetSingle()));
        Assert.Equal(expected.TokenIds, row.GetProperty("tokenIds").EnumerateArray().Select(id => id.GetInt32()));
    }

    [Fact]
    public void Operations_are_written_where_the_options_ask_for_them()
    {
        string rows = """{"inputIds": [7, 99, 300, 1], "flops": "old"}""" + "\n" + """{"inputIds": [9999]}""" + "\n" + "not json";
        string policy = Policy("""{"threshold": 0.5}""");
        JsonElement[] written = Generate(models.TinyExit, rows, "--policy", policy, "--options", Options("""{"operations": true, "maxNewTokens": 9}""")).Rows;
        using EarlyExitModel model = EarlyExitModel.Load(models.TinyExit);
        OperationCounts expected = model.Generate(
            [GenerationInput.FromTokenIds([7, 99, 300, 1])],
            new TextGenerationOptions { MaxNewTokens = 9, Exit = new ExitPolicy { Threshold = 0.5f } })[0].Operations;
        Assert.All([expected.Decoder, expected.StatePropagation, expected.Confidence, expected.Paper], count => Assert.True(count > 0));
        Assert.Equal(
            $$"""{"decoder":{{expected.Decoder}},"statePropagation":{{expected.StatePropagation}},"confidence":{{expected.Confidence}},"head":{{expected.Head}},"paper":{{expected.Paper}}}""",
            written[0].GetProperty("flops").GetRawText());
        Assert.Equal(3, written.Length);
        Assert.All(
            written.Skip(1),
            row => Assert.Equal("""{"decoder":0,"statePropagation":0,"confidence":0,"head":0,"paper":0}""", row.GetProperty("flops").GetRawText()));
        foreach (string options in new[] { "{}", """{"operations": false}""" })
            Assert.All(
                Generate(models.TinyExit, rows, "--policy", policy, "--options", Options(options)).Rows,
                row => Assert.False(row.TryGetProperty("flops", out _)));
    }

    [Fact]
    public void A_row_that_fails_on_its_way_states_what_was_done_for_it()
    {
        string source = Path.Combine(_folder.Path, "checkpoint");
        Directory.CreateDirectory(source);
        foreach (string file in Directory.GetFiles(Repository.Fixture("models/hf-tiny/tiny-v10")))
            File.Copy(file, Path.Combine(source, Path.GetFileName(file)));
        byte[] weights = File.ReadAllBytes(Path.Combine(source, "model.safetensors"));
        BitConverter.TryWriteBytes(weights.AsSpan(weights.Length - sizeof(float)), float.NaN);
        File.WriteAllBytes(Path.Combine(source, "model.safetensors"), weights);
        Assert.Equal(0, ToolRunner.Run("convert", source, _folder.File("bundle")).ExitCode);
        JsonElement row = Assert.Single(Generate(_folder.File("bundle"), """{"inputIds": [7, 1]}""", "--options", Options("""{"operations": true}""")).Rows);
        Assert.Equal(("error", 0), (row.GetProperty("stopReason").GetString(), row.GetProperty("tokenIds").GetArrayLength()));
        // All six blocks ran, and a product with the head's 512 rows of 64.
        Assert.True(row.GetProperty("flops").GetProperty("decoder").GetInt64() > 0);
        Assert.Equal(2 * 64 * 512, row.GetProperty("flops").GetProperty("head").GetInt64());
    }

    [Fact]
    public void A_file_appears_whole_and_replaces_the_old_one()
    {
        string output = _folder.File("out.jsonl");
        File.WriteAllText(output, "old");
        ToolResult result = Generate(models.Tiny, """{"id": 1, "inputIds": [1]}""", "--output", output);
        Assert.Equal((0, ""), (result.ExitCode, result.Output));
        Assert.Single(ToolResult.ParseRows(File.ReadAllText(output)));
        Assert.Equal((byte)'{', File.ReadAllBytes(output)[0]);
        Assert.False(File.Exists(output + ".partial"));
    }

    [Fact]
    public void The_input_can_be_replaced_by_its_output()
    {
        string path = Write("rows.jsonl", """{"id": 1, "inputIds": [1]}""");
        Assert.Equal(0, ToolRunner.Run("generate", models.Tiny, "--input", path, "--output", path).ExitCode);
        Assert.Contains("tokenIds", File.ReadAllText(path));
    }

    [Fact]
    public void An_unfinished_output_is_not_overwritten_while_it_is_read()
    {
        string path = Write("out.jsonl.partial", """{"id": 1, "inputIds": [1]}""");
        ToolRunner.Run("generate", models.Tiny, "--input", path, "--output", _folder.File("out.jsonl")).AssertFailed(1, "until it is complete");
        Assert.Contains("inputIds", File.ReadAllText(path));
    }

    [Fact]
    public void Nothing_is_written_when_nothing_can_be_generated()
    {
        string input = Write("in.jsonl", """{"id": 1, "inputIds": [1]}""");
        string output = _folder.File("out.jsonl");
        File.WriteAllText(output, "old");
        string[] before = Directory.GetFileSystemEntries(_folder.Path);
        Run(_folder.File("none"), input, "--output", output).AssertFailed(1, _folder.File("none"));
        Run(models.Tiny, _folder.File("none"), "--output", output).AssertFailed(1, "no file", _folder.File("none"));
        Run(models.Tiny, _folder.Path, "--output", output).AssertFailed(1, "is a folder");
        Run(models.Tiny, input, "--output", output, "--policy", _folder.File("none")).AssertFailed(1, "no file", _folder.File("none"));
        Run(models.Tiny, input, "--output", output, "--options", _folder.Path).AssertFailed(1, "is a folder");
        Run(models.Tiny, input, "--output", _folder.Path).AssertFailed(1, "is a folder");
        Run(models.Tiny, input, "--output", _folder.File("none/out.jsonl")).AssertFailed(1, "does not exist");
        Assert.Equal(before, Directory.GetFileSystemEntries(_folder.Path));
        Assert.Equal("old", File.ReadAllText(output));
    }

    [Theory]
    [InlineData("""{"threshold": 2}""", "threshold", "0 to 1")]
    [InlineData("""{"treshold": 0.5}""", "treshold", "unknown")]
    [InlineData("""{"minimumLayer": 7}""", "minimumLayer", "1 to 6")]
    [InlineData("""{"staticExitLayer": 7}""", "staticExitLayer", "1 to 6")]
    [InlineData("""{"staticExitLayer": 2, "minimumLayer": 2}""", "staticExitLayer", "minimumLayer")]
    [InlineData("""{"thresholds": [0.5]}""", "thresholds", "6 decoder layers")]
    [InlineData("""{"confidence": "sureness"}""", "confidence", "softmaxMargin")]
    [InlineData("""{"pruning": {"kind": "fixed", "k": 1}}""", "pruning.k", "at least 2")]
    [InlineData("""{"shallowDeep": {"exitLayer": 6}}""", "shallowDeep.exitLayer", "1 to 5")]
    [InlineData("""{"shallowDeep": {"exitLayer": 3}, "minimumLayer": 2}""", "shallowDeep", "minimumLayer")]
    [InlineData("""{"confidence": "hiddenStateSaturation", "pruning": {"kind": "fixed"}}""", "hiddenStateSaturation", "pruning")]
    [InlineData("""{"confidence": "jsdContrastive", "referenceCompatible": true}""", "referenceCompatible", "minimumLayer")]
    [InlineData("""{"confidence": "jsdContrastive", "contrastive": {"token": "contrastive"}, "selfSpeculation": {}}""", "selfSpeculation", "exclude")]
    [InlineData("{", "JSON", "policy.json")]
    [InlineData("[]", "object", "policy.json")]
    public void An_impossible_policy_fails_naming_file_and_field(string policy, params string[] words) =>
        Generate(models.Tiny, """{"inputIds": [1]}""", "--policy", Policy(policy)).AssertFailed(1, ["policy.json", .. words]);

    [Theory]
    [InlineData("""{"maxNewTokens": 0}""", "maxNewTokens", "from 1")]
    [InlineData("""{"minNewTokens": 9, "maxNewTokens": 8}""", "minNewTokens", "maxNewTokens")]
    [InlineData("""{"max_new_tokens": 9}""", "max_new_tokens", "unknown")]
    [InlineData("""{"truncate": "yes"}""", "truncate", "true or false")]
    [InlineData("""{"operations": "yes"}""", "operations", "true or false")]
    public void Impossible_options_fail_naming_file_and_field(string options, params string[] words) =>
        Generate(models.Tiny, """{"inputIds": [1]}""", "--options", Options(options)).AssertFailed(1, ["options.json", .. words]);

    [Fact]
    public void Verbose_shows_the_stack_trace()
    {
        ToolResult result = ToolRunner.Run("generate", _folder.File("none"), "--text", "a", "--verbose");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("   at ", result.Error);
    }

    [Fact]
    public void Cancellation_keeps_the_rows_that_were_printed()
    {
        using var cancellation = new CancellationTokenSource();
        string input = Write("in.jsonl", string.Join('\n', Enumerable.Range(0, 50).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 1]}""")));
        var output = new WatchedWriter(3, cancellation.Cancel);
        ToolResult result = ToolRunner.Run(output, isTerminal: false, cancellation.Token, "generate", models.Tiny, "--input", input);
        Assert.Equal(130, result.ExitCode);
        Assert.Equal([0, 1, 2], result.Rows.Select(row => row.GetProperty("id").GetInt32()));
        Assert.Contains("3 rows", result.Error);
        Assert.Contains("Cancelled", result.Error);
    }

    [Fact]
    public void Cancellation_before_the_first_row_leaves_no_file()
    {
        string input = Write("in.jsonl", """{"inputIds": [1]}""");
        ToolResult result = ToolRunner.Run(
            new StringWriter(), isTerminal: false, new CancellationToken(canceled: true),
            "generate", models.Tiny, "--input", input, "--output", _folder.File("out"));
        result.AssertFailed(130, "Cancelled");
        Assert.Equal([input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Output_that_cannot_be_written_fails()
    {
        string input = Write("in.jsonl", string.Join('\n', Enumerable.Range(0, 5).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 1]}""")));
        var output = new WatchedWriter(2, () => throw new IOException("No space left."));
        ToolResult result = ToolRunner.Run(output, isTerminal: false, CancellationToken.None, "generate", models.Tiny, "--input", input);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("1 row finished before went to standard output", result.Error);
        Assert.Contains("No space left.", result.Error);
    }

    [Fact]
    public void Progress_is_shown_only_on_a_terminal()
    {
        string input = Write("in.jsonl", string.Join('\n', Enumerable.Range(0, 4).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 1]}""")) + "\n");
        string[] arguments = ["generate", models.Tiny, "--input", input, "--output", _folder.File("out.jsonl")];
        string error = ToolRunner.Run(new StringWriter(), isTerminal: true, CancellationToken.None, arguments).Error;
        Assert.All([" 25% 1 row", " 50% 2 rows", "100% 4 rows"], bar => Assert.Contains(bar, error));
        Assert.DoesNotContain("\r[", ToolRunner.Run(arguments).Error);
    }

    private static ToolResult Run(string bundle, string input, params string[] more) => ToolRunner.Run(["generate", bundle, "--input", input, .. more]);

    private ToolResult Generate(string bundle, string rows, params string[] more) => Run(bundle, Write("in.jsonl", rows), more);

    private string Options(string json) => Write("options.json", json);

    private string Policy(string json) => Write("policy.json", json);

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }

    /// <summary>Does something when so many rows have been written.</summary>
    private sealed class WatchedWriter(int rows, Action act) : StringWriter
    {
        private int _rows;

        public override void Write(string? value)
        {
            base.Write(value);
            if (++_rows == rows)
                act();
        }
    }
}
