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
