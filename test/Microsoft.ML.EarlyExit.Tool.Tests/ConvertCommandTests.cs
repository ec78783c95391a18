using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class ConvertCommandTests : IDisposable
{
    private static readonly string s_source = Repository.Fixture("models/hf-tiny/tiny-sharded");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Writes_nothing_to_standard_output()
    {
        ToolResult result = ToolRunner.Run("convert", s_source, _folder.File("b"));
        Assert.Equal((0, ""), (result.ExitCode, result.Output));
        Assert.Contains(_folder.File("b"), result.Error);
        Assert.DoesNotContain('\r', result.Error.ReplaceLineEndings("\n"));
    }

    [Fact]
    public void Warns_of_what_the_bundle_does_not_keep()
    {
        string source = _folder.File("source");
        TinyTextCheckpoint.Write(source, seed: 1);
        ToolResult quiet = ToolRunner.Run("convert", source, _folder.File("b"));
        Assert.Equal((0, ""), (quiet.ExitCode, quiet.Output));
        Assert.DoesNotContain("Warning", quiet.Error);

        File.WriteAllText(Path.Combine(source, "generation_config.json"), """{"num_beams": 4, "penalty_alpha": 0.6, "min_length": 5}""");
        ToolResult warned = ToolRunner.Run("convert", source, _folder.File("b"), "--overwrite");
        Assert.Equal((0, ""), (warned.ExitCode, warned.Output));
        string line = Assert.Single(warned.Error.Split('\n'), line => line.StartsWith("Warning: ", StringComparison.Ordinal));
        Assert.Contains("num_beams = 4, penalty_alpha = 0.6", line);
        Assert.DoesNotContain("min_length", line);
    }

    [Fact]
    public void Says_that_a_bundle_without_a_tokenizer_takes_ids_only()
    {
        ToolResult result = ToolRunner.Run("convert", s_source, _folder.File("b"));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Warning: ", result.Error);
        Assert.Contains("token ids only", result.Error);
        Assert.Contains("text", result.Error);
    }

    [Fact]
    public void Json_says_what_was_read_ignored_and_warned_of()
    {
        string source = _folder.File("source");
        TinyTextCheckpoint.Write(source, seed: 1);
        File.WriteAllText(Path.Combine(source, "generation_config.json"), """{"num_beams": 4}""");
        File.WriteAllText(Path.Combine(source, "README.md"), "");
        File.WriteAllText(Path.Combine(source, "tokenizer.json"), "{}");
        ToolResult result = ToolRunner.Run("convert", source, _folder.File("b"), "--json");
        Assert.Equal(0, result.ExitCode);
        JsonElement json = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(["source", "bundle", "formatVersion", "bytes", "read", "ignored", "warnings"], json.EnumerateObject().Select(field => field.Name));
        Assert.Equal((source, _folder.File("b")), (json.GetProperty("source").GetString(), json.GetProperty("bundle").GetString()));
        Assert.Equal(["config.json", "generation_config.json", "model.safetensors", "spiece.model"], Texts("read"));
        Assert.Equal(["README.md", "tokenizer.json"], Texts("ignored"));
        Assert.Contains("num_beams = 4", Assert.Single(Texts("warnings")));
        Assert.Equal(
            new DirectoryInfo(_folder.File("b")).GetFiles().Where(file => file.Name != "model.json").Sum(file => file.Length),
            json.GetProperty("bytes").GetInt64());
        JsonElement inspected = JsonDocument.Parse(ToolRunner.Run("inspect", _folder.File("b"), "--json").Output).RootElement;
        Assert.Equal(inspected.GetProperty("formatVersion").GetInt32(), json.GetProperty("formatVersion").GetInt32());

        string[] Texts(string name) => [.. json.GetProperty(name).EnumerateArray().Select(text => text.GetString()!)];
    }

    [Fact]
    public void Json_names_all_shards_and_their_index()
    {
        ToolResult result = ToolRunner.Run("convert", s_source, _folder.File("b"), "--json");
        string[] read = [.. JsonDocument.Parse(result.Output).RootElement.GetProperty("read").EnumerateArray().Select(name => name.GetString()!)];
        Assert.Equal(
            Directory.GetFiles(s_source).Select(Path.GetFileName)
                .Where(name => name is "config.json" or "generation_config.json" || name!.Contains("safetensors")).Order(StringComparer.Ordinal),
            read);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4")]
    public void Whole_numbers_come_with_what_they_are_off_by(string weights)
    {
        string source = Repository.Fixture("models/hf-tiny/tiny-v10");
        ToolResult result = ToolRunner.Run(
            "convert", source, _folder.File("b"), "--weights", weights, "--json", "--keep", "fp32:encoder.*", "--keep", "fp32:*.wi");
        Assert.Equal(0, result.ExitCode);
        JsonElement json = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(2, json.GetProperty("formatVersion").GetInt32());
        JsonElement[] kinds = [.. json.GetProperty("quantization").EnumerateArray()];
        Assert.Equal(
            ["self.q", "self.kv", "self.o", "cross.q", "cross.kv", "cross.o", "ff.wo"],
            kinds.Select(kind => kind.GetProperty("kind").GetString()!.Replace("decoder.", "", StringComparison.Ordinal)));
        JsonElement last = kinds[^1];
        Assert.Equal((weights, 6), (last.GetProperty("type").GetString(), last.GetProperty("matrices").GetInt32()));
        double error = last.GetProperty("error").GetDouble();
        Assert.InRange(error, weights == "int4" ? 0.05 : 0.003, weights == "int4" ? 0.15 : 0.01);
        Assert.InRange(last.GetProperty("worstError").GetDouble(), error, 1.5 * error);
        Assert.Matches("^decoder\\.[0-5]\\.ff\\.wo$", last.GetProperty("worst").GetString());
        Assert.Matches($"decoder\\.ff\\.wo +{weights} +[0-9.]+ %, at most [0-9.]+ % \\({last.GetProperty("worst").GetString()}\\)", result.Error);

        JsonElement inspected = JsonDocument.Parse(ToolRunner.Run("inspect", _folder.File("b"), "--json").Output).RootElement;
        Assert.Equal(weights, inspected.GetProperty("precision").GetString());
        Assert.Equal(
            weights == "int8" ? """{"fp32":16,"int8":42}""" : """{"fp32":16,"int8":36,"int4":6}""",
            JsonSerializer.Serialize(inspected.GetProperty("matrices")));
        Assert.Contains(
            weights == "int8" ? "16 in fp32, 42 in int8" : "16 in fp32, 36 in int8, 6 in int4", ToolRunner.Run("inspect", _folder.File("b")).Output);
    }

    [Theory]
    [InlineData(2, "must be fp32:", "--weights", "int8", "--keep", "int8:decoder.*")]
    [InlineData(2, "must be fp32:", "--weights", "int8", "--keep", "fp32:encoder.*", "--keep", "decoder.*")]
    [InlineData(2, "must be fp32:", "--weights", "int4", "--keep", "fp32:")]
    [InlineData(2, "--weights int8", "--keep", "fp32:decoder.*")]
    [InlineData(2, "--weights int8", "--weights", "bf16", "--keep", "fp32:decoder.*")]
    [InlineData(1, "'fp32:decoder.9.ff.wo' keeps nothing", "--weights", "int8", "--keep", "fp32:decoder.9.ff.wo")]
    public void What_cannot_be_kept_is_said(int exitCode, string said, params string[] arguments)
    {
        ToolRunner.Run(["convert", Repository.Fixture("models/hf-tiny/tiny-v10"), _folder.File("b"), .. arguments]).AssertFailed(exitCode, said);
        Assert.False(Directory.Exists(_folder.File("b")));
    }

    [Fact]
    public void Shows_progress_on_a_terminal()
    {
        ToolResult result = ToolRunner.Run(new StringWriter(), isTerminal: true, CancellationToken.None, "convert", s_source, _folder.File("b"));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("\r[###", result.Error);
        Assert.Contains("100%", result.Error);
    }

    [Fact]
    public void Replaces_a_bundle_only_when_asked_to()
    {
        string bundle = _folder.File("b");
        Assert.Equal(0, ToolRunner.Run("convert", s_source, bundle).ExitCode);
        ToolRunner.Run("convert", s_source, bundle).AssertFailed(1, bundle, "exists");
        Assert.Equal(0, ToolRunner.Run("convert", Repository.Fixture("models/hf-tiny/tiny-v10"), bundle, "--overwrite").ExitCode);
        Assert.Contains("6 decoder", ToolRunner.Run("inspect", bundle).Output);
        Assert.Equal([bundle], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Missing_and_broken_sources_fail()
    {
        ToolRunner.Run("convert", _folder.File("none"), _folder.File("b")).AssertFailed(1, _folder.File("none"));
        Directory.CreateDirectory(_folder.File("empty"));
        ToolRunner.Run("convert", _folder.File("empty"), _folder.File("b")).AssertFailed(1, "config.json");
        Assert.False(Directory.Exists(_folder.File("b")));
    }

    [Fact]
    public void Cancellation_leaves_nothing_behind()
    {
        ToolResult result = ToolRunner.Run(
            new StringWriter(), isTerminal: false, new CancellationToken(canceled: true), "convert", s_source, _folder.File("b"));
        result.AssertFailed(130, "Cancelled");
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }
}
