using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class ScoreCommandTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("softmaxMargin")]
    [InlineData("hiddenStateSaturation")]
    [InlineData("weightedContrastive")]
    [InlineData("jsdContrastive")]
    public void What_was_generated_is_scored_with_the_confidences_of_its_generation(string measure)
    {
        string policy = Write("policy.json", $$"""{"minimumLayer": 2, "threshold": 1, "confidence": "{{measure}}"}""");
        string options = Write("options.json", """{"maxNewTokens": 12}""");
        string prompts = string.Join('\n', Enumerable.Range(5, 4).Select(id => $$"""{"id": {{id}}, "inputIds": [{{id}}, 40, 7, 1]}"""));
        ToolResult generated = ToolRunner.Run(
            "generate", models.TinyExit, "--input", Write("prompts.jsonl", prompts), "--policy", policy, "--options", options, "--trace");
        Assert.Equal(0, generated.ExitCode);
        string targets = string.Join('\n', generated.Rows.Select(row =>
            $$"""{"id": {{row.GetProperty("id")}}, "inputIds": [{{row.GetProperty("id")}}, 40, 7, 1], "targetIds": {{row.GetProperty("tokenIds")}}}"""));
        ToolResult scored = Score(models.TinyExit, targets, "--policy", policy);
        Assert.Equal((0, "Wrote 4 rows.\n"), (scored.ExitCode, scored.Error.ReplaceLineEndings("\n")));
        foreach ((JsonElement one, JsonElement other) in generated.Rows.Zip(scored.Rows))
        {
            Assert.Equal(["id", "layers"], other.EnumerateObject().Select(property => property.Name));
            JsonElement[] layers = [.. other.GetProperty("layers").EnumerateArray()];
            Assert.Equal(Enumerable.Range(1, 8), layers.Select(layer => layer.GetProperty("layer").GetInt32()));
            Assert.All(layers, layer => Assert.Equal(
                ["layer", "argmax", "rank", "confidence", "logProbability"], layer.EnumerateObject().Select(property => property.Name)));
            Assert.Equal(one.GetProperty("tokenIds").GetRawText(), layers[^1].GetProperty("argmax").GetRawText());
            Assert.All(layers[^1].GetProperty("rank").EnumerateArray(), rank => Assert.Equal(0, rank.GetInt32()));
            int position = 0;
            foreach (JsonElement step in one.GetProperty("steps").EnumerateArray())
            {
                foreach (JsonElement evaluation in step.GetProperty("evaluations").EnumerateArray())
                {
                    float confidence = layers[evaluation.GetProperty("layer").GetInt32() - 1].GetProperty("confidence")[position].GetSingle();
                    Assert.Equal(evaluation.GetProperty("confidence").GetSingle(), confidence, 1e-3f);
                }

                Assert.InRange(layers[0].GetProperty("logProbability")[position].GetSingle(), -1000, 0);
                position++;
            }

            Assert.True(position > 0);
            Assert.All(layers, layer => Assert.Equal(position, layer.GetProperty("confidence").GetArrayLength()));
        }
    }

    [Fact]
    public void Texts_are_read_with_the_options_and_end_of_sequence()
    {
        string options = Write("options.json", """{"prefix": "describe: "}""");
        var tokenizer = T5Tokenizer.Load(Path.Combine(Repository.Folder, "samples", "t5-restaurants", "spiece.model"));
        IReadOnlyList<int> ids = tokenizer.Encode("The Mill is a pub.");
        IReadOnlyList<int> input = tokenizer.Encode("describe: name[The Mill], eatType[pub]");
        ToolResult texts = Score(models.Restaurants, """{"text": "name[The Mill], eatType[pub]", "target": "The Mill is a pub."}""", "--options", options);
        ToolResult given = Score(models.Restaurants, $$"""{"inputIds": [{{string.Join(',', input)}}], "targetIds": [{{string.Join(',', ids)}}]}""");
        Assert.Equal(0, texts.ExitCode);
        Assert.Equal(given.Output, texts.Output);
        Assert.Equal(ids.Count, texts.Rows[0].GetProperty("layers")[0].GetProperty("argmax").GetArrayLength());
    }

    [Fact]
    public void Other_fields_return_as_given_and_own_ones_only_once()
    {
        ToolResult result = Score(
            models.Tiny,
            """{"references": ["a",  "b"], "inputIds": [5, 1], "targetIds": [6, 1], "layers": [1], "error": "old", "text": null, "tokenIds": [9], "id": {"a": 1}, "é": "\ud800"}""");
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("""{"id":{"a": 1},"layers":[{"layer":1,""", result.Output);
        Assert.EndsWith("""}],"references": ["a",  "b"],"tokenIds": [9],"é": "\ud800"}""" + "\n", result.Output);
    }

    [Fact]
    public void Bad_rows_become_error_rows_and_stop_no_other()
    {
        (string Line, string Id, string[] Words)[] bad =
        [
            ("not json", "null", ["line 1", "JSON"]),
            ("""{"id": 2, "inputIds": [5, 1]}""", "2", ["line 2", "neither target nor targetIds"]),
            ("""{"id": 3, "target": "a", "targetIds": [1], "inputIds": [1]}""", "3", ["line 3", "both target and targetIds"]),
            ("""{"id": 4, "targetIds": [1]}""", "4", ["line 4", "neither text nor inputIds"]),
            ("""{"id": 5, "inputIds": [5, 1], "targetIds": [1, "2"]}""", "5", ["line 5", "targetIds[1] is \"2\""]),
            ("""{"id": 6, "inputIds": [5, 1], "target": 5}""", "6", ["line 6", "target is not a string"]),
            ("""{"id": 7, "inputIds": [5, 1], "targetIds": []}""", "7", ["line 7", "no token ids"]),
            ("""{"id": 8, "inputIds": [5, 1], "targetIds": [5, 512]}""", "8", ["line 8", "Token id 512 at position 1 of the target is outside the vocabulary"]),
            ("""{"id": 9, "inputIds": [5, -1], "targetIds": [5]}""", "9", ["line 9", "Token id -1 at position 1 is outside the vocabulary"]),
            ("""{"id": 10, "inputIds": [5, 1], "target": "a"}""", "10", ["line 10", "no tokenizer"]),
            ("""{"id": 11, "inputIds": [5, 1], "targetIds": [5, 5, 5, 5]}""", "11", ["line 11", "4 tokens", "more than maxNewTokens, which is 3"]),
            ("""{"id": 12, "inputIds": [5, 1], "targetIds": [5], "targetIds": [6], "kept": 1}""", "12", ["line 12", "'targetIds' occurs twice"]),
        ];
        string rows = string.Join('\n', bad.Select(row => row.Line).Append("""{"id": 13, "inputIds": [5, 1], "targetIds": [6, 1]}"""));
        ToolResult result = Score(models.Tiny, rows, "--options", Write("options.json", """{"maxNewTokens": 3}"""));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Wrote 13 rows; 12 of them are errors and say why.", result.Error);
        JsonElement[] written = result.Rows;
        Assert.Equal(13, written.Length);
        for (int row = 0; row < bad.Length; row++)
        {
            Assert.Equal(bad[row].Id, written[row].GetProperty("id").GetRawText());
            Assert.False(written[row].TryGetProperty("layers", out _));
            foreach (string word in bad[row].Words)
                Assert.Contains(word, written[row].GetProperty("error").GetString());
        }

        Assert.Equal(1, written[11].GetProperty("kept").GetInt32());
        Assert.Equal(6, written[12].GetProperty("layers").GetArrayLength());
    }

    [Fact]
    public void A_cut_input_is_reported_with_its_line()
    {
        ToolResult result = Score(
            models.Tiny, "\n" + """{"inputIds": [5, 6, 7, 1], "targetIds": [6, 1]}""", "--options", Write("options.json", """{"maxInputTokens": 3}"""));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("line 2: the input was cut by 1 tokens to 3.", result.Error);
    }

    [Theory]
    [InlineData("""{"minimumLayer": 7}""", "minimumLayer is 7", "from 1 to 6")]
    [InlineData("""{"confidence": "classifier", "classifier": {"weights": [[1, 2]], "biases": [0]}}""", "2 weights")]
    [InlineData("""{"confidence": "guess"}""", "confidence", "softmaxMargin")]
    [InlineData("""{"measure": 1}""", "unknown field measure")]
    public void An_impossible_policy_fails_naming_file_and_field(string policy, params string[] words) =>
        Score(models.Tiny, """{"inputIds": [1], "targetIds": [1]}""", "--policy", Write("policy.json", policy)).AssertFailed(1, ["policy.json", .. words]);

    [Fact]
    public void A_file_appears_whole_and_what_is_cancelled_stays_beside_it()
    {
        string rows = string.Join('\n', Enumerable.Range(0, 20).Select(id => $$"""{"id": {{id}}, "inputIds": [5, 1], "targetIds": [6, 1]}"""));
        string output = _folder.File("out.jsonl");
        Assert.Equal(0, Score(models.Tiny, rows, "--output", output).ExitCode);
        Assert.Equal(20, ToolResult.ParseRows(File.ReadAllText(output)).Length);

        using var cancellation = new CancellationTokenSource();
        var printed = new CancellingWriter(3, cancellation);
        ToolResult result = ToolRunner.Run(printed, isTerminal: false, cancellation.Token, "score", models.Tiny, "--input", _folder.File("in.jsonl"));
        Assert.Equal(130, result.ExitCode);
        Assert.Equal([0, 1, 2], result.Rows.Select(row => row.GetProperty("id").GetInt32()));
        Assert.Contains("3 rows finished before went to standard output.", result.Error);

        File.Delete(output);
        ToolResult before = ToolRunner.Run(
            new StringWriter(), isTerminal: false, new CancellationToken(canceled: true),
            "score", models.Tiny, "--input", _folder.File("in.jsonl"), "--output", output);
        before.AssertFailed(130, "Cancelled");
        Assert.Equal([_folder.File("in.jsonl")], Directory.GetFileSystemEntries(_folder.Path));
    }

    private ToolResult Score(string bundle, string rows, params string[] more) =>
        ToolRunner.Run(["score", bundle, "--input", Write("in.jsonl", rows), .. more]);

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }

    /// <summary>Cancels when so many rows have been written.</summary>
    private sealed class CancellingWriter(int rows, CancellationTokenSource cancellation) : StringWriter
    {
        private int _rows;

        public override void Write(string? value)
        {
            base.Write(value);
            if (++_rows == rows)
                cancellation.Cancel();
        }
    }
}
