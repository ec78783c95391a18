using System.Text.Json.Nodes;

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
