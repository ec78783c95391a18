using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

public sealed class ShardIndexTests
{
    private const string First = "model-00001-of-00003.safetensors";
    private const string Second = "model-00002-of-00003.safetensors";

    [Fact]
    public void A_missing_file_is_refused()
    {
        using var folder = new TemporaryFolder();
        new TinyCheckpoint(shards: 3).Write(folder.Path);
        File.Delete(folder.File(Second));
        Assert.Contains(Second, Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message);
    }

    [Fact]
    public void A_tensor_its_file_does_not_hold_is_refused()
    {
        string message = Refused(map => map["ghost.weight"] = First);
        Assert.Contains("ghost.weight", message);
        Assert.Contains(First, message);
    }

    [Fact]
    public void A_tensor_placed_in_another_file_is_refused() => Assert.Contains("shared.weight", Refused(map => map["shared.weight"] = Second));

    [Fact]
    public void A_tensor_the_index_does_not_name_is_refused() => Assert.Contains("shared.weight", Refused(map => map.Remove("shared.weight")));

    [Fact]
    public void The_same_tensor_in_two_files_is_refused()
    {
        var tiny = new TinyCheckpoint(shards: 3);

        // Positions 0 and 1: the first and the second file.
        tiny.Tensors.Insert(1, tiny.Tensors[0]);
        Assert.Contains("shared.weight", T5CheckpointTests.Refused(tiny));
    }

    [Theory]
    [InlineData("encoder.embed_tokens.weight", First)]
    [InlineData("decoder.embed_tokens.weight", Second)]
    [InlineData("lm_head.weight", First)]
    public void A_tied_copy_that_no_file_holds_is_the_embedding(string name, string file)
    {
        var tiny = new TinyCheckpoint(shards: 3) { EditIndex = index => index["weight_map"]![name] = file };
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path);
        Assert.Equal(T5TensorShapes.Shared, checkpoint.HeadName);
        Assert.False(checkpoint.Contains(name));
    }

    [Theory]
    [InlineData("encoder.embed_tokens.weight", true)]
    [InlineData("decoder.embed_tokens.weight", false)]
    public void A_tied_copy_that_another_file_holds_is_the_embedding(string name, bool isNamed)
    {
        var tiny = new TinyCheckpoint(shards: 3);
        tiny.Tensors.Add(tiny["shared.weight"] with { Name = name });
        string holding = $"model-{((tiny.Tensors.Count - 1) % 3) + 1:D5}-of-00003.safetensors";
        tiny.EditIndex = index =>
        {
            JsonObject map = index["weight_map"]!.AsObject();
            Assert.Equal(holding, (string?)map[name]);
            map.Remove(name);
            if (isNamed)
                map[name] = holding == First ? Second : First;
        };
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path);
        Assert.Equal(T5TensorShapes.Shared, checkpoint.HeadName);
    }

    [Fact]
    public void The_embedding_may_be_held_under_another_of_its_names_than_the_index_says()
    {
        var tiny = new TinyCheckpoint(shards: 3);
        float[] values = tiny["shared.weight"].Values;
        tiny.Replace("shared.weight", tensor => tensor with { Name = "decoder.embed_tokens.weight" });
        tiny.EditIndex = index =>
        {
            JsonObject map = index["weight_map"]!.AsObject();
            map["shared.weight"] = First;
            map["encoder.embed_tokens.weight"] = First;
        };
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path);
        var read = new float[values.Length];
        checkpoint["shared.weight"].Read(0, read);
        Assert.Equal(values, read);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_copy_that_differs_is_refused_wherever_it_lies(bool otherShape)
    {
        const string Name = "encoder.embed_tokens.weight";
        var tiny = new TinyCheckpoint(shards: 3);
        TinyTensor shared = tiny["shared.weight"];
        TinyTensor copy = shared with { Name = Name };

        // Two of one name, in the first and the second file.
        tiny.Tensors.Insert(0, copy);
        tiny.Tensors.Insert(1, otherShape
            ? copy with { Shape = [1, 12], Values = shared.Values[..12] }
            : copy with { Values = [.. shared.Values[..^1], shared.Values[^1] + 1] });
        Assert.Contains(Name, T5CheckpointTests.Refused(tiny));
    }

    [Fact]
    public void A_head_of_its_own_that_no_file_holds_is_refused()
    {
        var tiny = new TinyCheckpoint(shards: 3) { EditIndex = index => index["weight_map"]!["lm_head.weight"] = First };
        tiny.Config["tie_word_embeddings"] = false;
        Assert.Contains("lm_head.weight", T5CheckpointTests.Refused(tiny));
    }

    [Fact]
    public void An_embedding_that_no_file_holds_is_refused()
    {
        var tiny = new TinyCheckpoint(shards: 3) { EditIndex = index => index["weight_map"]!["shared.weight"] = First };
        tiny.Tensors.RemoveAt(0);
        Assert.Contains("shared.weight", T5CheckpointTests.Refused(tiny));
    }

    [Theory]
    [InlineData("../outside.safetensors")]
    [InlineData("..\\outside.safetensors")]
    [InlineData("/etc/outside.safetensors")]
    [InlineData("C:\\outside.safetensors")]
    [InlineData("C:outside.safetensors")]
    [InlineData("sub/model.safetensors")]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("")]
    [InlineData("config.json")]
    [InlineData("nul\0.safetensors")]
    public void A_name_that_is_no_plain_weights_file_is_refused(string name)
    {
        using var outer = new TemporaryFolder();
        string folder = Directory.CreateDirectory(outer.File("model")).FullName;
        var tiny = new TinyCheckpoint(shards: 3) { EditIndex = index => index["weight_map"]!["shared.weight"] = name };
        tiny.Write(folder);

        // What the name reaches for is there, so that the name itself is what is refused.
        File.Copy(Path.Combine(folder, First), outer.File("outside.safetensors"));
        Directory.CreateDirectory(Path.Combine(folder, "sub"));
        File.Copy(Path.Combine(folder, First), Path.Combine(folder, "sub", "model.safetensors"));
        Assert.Contains("a .safetensors file in the same folder", Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder)).Message);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"weight_map": null}""")]
    [InlineData("""{"weight_map": []}""")]
    [InlineData("""{"weight_map": {"shared.weight": 1}}""")]
    [InlineData("""{"weight_map": {"shared.weight": "a.safetensors", "shared.weight": "a.safetensors"}}""")]
    [InlineData("""{"weight_map": {"shared.weight": "\ud800.safetensors"}}""")]
    [InlineData("")]
    public void An_index_of_another_form_is_refused(string json)
    {
        using var folder = new TemporaryFolder();
        new TinyCheckpoint(shards: 3).Write(folder.Path);
        File.WriteAllText(folder.File("model.safetensors.index.json"), json);
        Assert.Contains("index.json", Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message);
    }

    private static string Refused(Action<JsonObject> edit) =>
        T5CheckpointTests.Refused(new TinyCheckpoint(shards: 3) { EditIndex = index => edit(index["weight_map"]!.AsObject()) });
}
