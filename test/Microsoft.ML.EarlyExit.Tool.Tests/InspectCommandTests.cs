using System.Security.Cryptography;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class InspectCommandTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Json_states_configuration_and_files()
    {
        ToolResult result = ToolRunner.Run("inspect", models.TinyExit, "--json");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        JsonElement report = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(1, report.GetProperty("formatVersion").GetInt32());
        Assert.Equal("fp32", report.GetProperty("precision").GetString());
        Assert.StartsWith("Microsoft.ML.EarlyExit.Conversion", report.GetProperty("createdBy").GetString());
        JsonElement configuration = report.GetProperty("configuration");
        Assert.Equal(1024, configuration.GetProperty("vocabularySize").GetInt32());
        Assert.Equal(8, configuration.GetProperty("decoderLayerCount").GetInt32());
        Assert.Equal(1, configuration.GetProperty("endOfSequenceTokenId").GetInt32());
        JsonElement[] files = [.. report.GetProperty("files").EnumerateArray()];
        Assert.Equal(
            Directory.GetFiles(models.TinyExit).Select(Path.GetFileName).Where(name => name != "model.json").Order(StringComparer.Ordinal),
            files.Select(file => file.GetProperty("name").GetString()).Order(StringComparer.Ordinal));
        foreach (JsonElement file in files)
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(models.TinyExit, file.GetProperty("name").GetString()!));
            Assert.Equal(bytes.Length, file.GetProperty("bytes").GetInt64());
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(bytes)), file.GetProperty("sha256").GetString());
        }
    }

    [Fact]
    public void A_bundle_in_bf16_says_so_and_its_weights_have_half_the_size()
    {
        string source = Path.Combine(Repository.Folder, "samples", "t5-restaurants");
        Assert.Equal(0, ToolRunner.Run("convert", source, _folder.File("half"), "--weights", "bf16").ExitCode);
        JsonElement whole = JsonDocument.Parse(ToolRunner.Run("inspect", models.Restaurants, "--json").Output).RootElement;
        JsonElement half = JsonDocument.Parse(ToolRunner.Run("inspect", _folder.File("half"), "--json").Output).RootElement;
        Assert.Equal("bf16", half.GetProperty("precision").GetString());
        Assert.Equal(2, half.GetProperty("formatVersion").GetInt32());
        Assert.Equal(whole.GetProperty("parameters").GetInt64(), half.GetProperty("parameters").GetInt64());
        Assert.InRange(WeightBytes(half) / (double)WeightBytes(whole), 0.5, 0.505);
        Assert.Matches("precision: +bf16", ToolRunner.Run("inspect", _folder.File("half")).Output);

        static long WeightBytes(JsonElement report) =>
            report.GetProperty("files").EnumerateArray().Single(file => file.GetProperty("name").GetString() == "weights.bin").GetProperty("bytes").GetInt64();
    }

    [Theory]
    [InlineData("models/hf-tiny/tiny-v10")]
    [InlineData("models/hf-tiny/tiny-v11")]
    [InlineData("models/hf-tiny/tiny-buckets")]
    public void Parameters_are_those_of_the_checkpoint(string model)
    {
        string source = Repository.Fixture(model);
        Assert.Equal(0, ToolRunner.Run("convert", source, _folder.File("b")).ExitCode);
        long parameters = JsonDocument.Parse(ToolRunner.Run("inspect", _folder.File("b"), "--json").Output).RootElement.GetProperty("parameters").GetInt64();
        Assert.Equal(CheckpointParameters(Path.Combine(source, "model.safetensors")), parameters);
    }

    [Fact]
    public void Text_says_what_a_bundle_holds_and_that_it_was_verified()
    {
        ToolResult result = ToolRunner.Run("inspect", models.Restaurants);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.All(
            ["fp32", "4 encoder, 12 decoder", "spiece.model", "decoder start 0", "verified", "weights.bin"],
            words => Assert.Contains(words, result.Output));
    }

    [Fact]
    public void Shows_how_the_checkpoint_generates_and_what_its_tokenizer_has()
    {
        string source = _folder.File("source");
        TinyTextCheckpoint.Write(source, seed: 1);
        File.WriteAllText(
            Path.Combine(source, "generation_config.json"), """{"max_length": 41, "min_length": 6, "repetition_penalty": 1.25, "no_repeat_ngram_size": 3}""");
        File.WriteAllText(
            Path.Combine(source, "tokenizer_config.json"),
            """{"extra_ids": 50, "added_tokens_decoder": {"306": {"content": "<sep>", "special": true, "rstrip": true}}}""");
        Assert.Equal(0, ToolRunner.Run("convert", source, _folder.File("b")).ExitCode);

        string text = ToolRunner.Run("inspect", _folder.File("b")).Output;
        Assert.All(
            ["at most 40", "at least 5", "a penalty of 1.25", "none of 3 ids twice", "50 sentinels, 1 added tokens", "format 2"],
            words => Assert.Contains(words, text));
        JsonElement report = JsonDocument.Parse(ToolRunner.Run("inspect", _folder.File("b"), "--json").Output).RootElement;
        JsonElement configuration = report.GetProperty("configuration");
        Assert.Equal(5, configuration.GetProperty("minNewTokens").GetInt32());
        Assert.Equal(1.25, configuration.GetProperty("repetitionPenalty").GetDouble());
        Assert.Equal(3, configuration.GetProperty("noRepeatNgramSize").GetInt32());
        JsonElement token = Assert.Single(report.GetProperty("tokenizerSettings").GetProperty("addedTokens").EnumerateArray());
        Assert.Equal((306, "<sep>"), (token.GetProperty("id").GetInt32(), token.GetProperty("content").GetString()));
    }

    [Fact]
    public void Damage_is_found()
    {
        Assert.Equal(0, ToolRunner.Run("convert", Repository.Fixture("models/hf-tiny/tiny-v10"), _folder.File("b")).ExitCode);
        string weights = Path.Combine(_folder.File("b"), "weights.bin");
        byte[] bytes = File.ReadAllBytes(weights);
        bytes[^1] ^= 1;
        File.WriteAllBytes(weights, bytes);
        ToolRunner.Run("inspect", _folder.File("b")).AssertFailed(1, "weights.bin", "SHA-256");
        ToolRunner.Run("generate", _folder.File("b"), "--text", "a").AssertFailed(1, "weights.bin", "SHA-256");
    }

    [Fact]
    public void What_is_no_bundle_fails()
    {
        ToolRunner.Run("inspect", _folder.File("none")).AssertFailed(1, _folder.File("none"));
        ToolRunner.Run("inspect", _folder.Path).AssertFailed(1, "model.json");
        ToolRunner.Run("inspect", Repository.Fixture("demo/README.md")).AssertFailed(1, "README.md");
    }

    private static long CheckpointParameters(string path)
    {
        using FileStream stream = File.OpenRead(path);
        byte[] length = new byte[8];
        stream.ReadExactly(length);
        byte[] header = new byte[BitConverter.ToInt64(length)];
        stream.ReadExactly(header);
        return JsonDocument.Parse(header).RootElement.EnumerateObject().Where(tensor => tensor.Name != "__metadata__")
            .Sum(tensor => tensor.Value.GetProperty("shape").EnumerateArray().Aggregate(1L, (product, size) => product * size.GetInt64()));
    }
}
