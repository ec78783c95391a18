using System.Text;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Files beside the vocabulary that are damaged, or made to do harm.</summary>
public sealed class DamagedTokenizerFilesTests
{
    private const string Config =
        """
        {"extra_ids": 20, "legacy": true, "additional_special_tokens": ["<b>", {"content": "\u003cc>"}], "added_tokens_decoder": {"1": {"content": "</s>", "special": true},
         "30": {"content": "<a>", "lstrip": true, "rstrip": false, "single_word": false, "special": false}, "31": {"content": "\u003cb>"}}}
        """;

    private const string Added = """{"<a>": 30, "\u003cb>": 31, "c d": 32}""";
    private const string Special = """{"additional_special_tokens": ["<a>", {"content": "\u003cb>", "lstrip": true}], "eos_token": "</s>"}""";

    [Theory]
    [InlineData("tokenizer_config.json", Config)]
    [InlineData("added_tokens.json", Added)]
    [InlineData("special_tokens_map.json", Special)]
    public void Are_read_or_refused_and_nothing_else(string file, string sound)
    {
        using TemporaryFolder folder = Write();
        File.WriteAllText(folder.File("added_tokens.json"), Added);
        byte[] whole = Encoding.UTF8.GetBytes(sound);
        var random = new Random(5);
        int refused = 0;
        const int Rounds = 1500;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] damaged = [.. whole];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(7));
            }

            File.WriteAllBytes(folder.File(file), round % 5 == 0 ? damaged[..random.Next(damaged.Length)] : damaged);
            Exception? exception = Record.Exception(() => Read(folder.Path));
            Assert.True(exception is null or InvalidModelException, $"{round}: {exception}");
            refused += exception is null ? 0 : 1;
        }

        Assert.InRange(refused, Rounds / 4, Rounds - 1);
    }

    [Theory]
    [InlineData("added_tokens.json", """{"\ud800": 30}""")]
    [InlineData("tokenizer_config.json", """{"added_tokens_decoder": {"\udc00": {"content": "a"}}}""")]
    [InlineData("tokenizer_config.json", """{"added_tokens_decoder": {}, "pad_token": "\ud800"}""")]
    [InlineData("tokenizer_config.json", """{"added_tokens_decoder": {"30": {"content": {}}}}""")]
    [InlineData("tokenizer_config.json", """{"added_tokens_decoder": {"99999999999": {"content": "a"}}}""")]
    [InlineData("tokenizer_config.json", "null")]
    [InlineData("added_tokens.json", """["a"]""")]
    [InlineData("added_tokens.json", "")]
    public void What_cannot_be_is_refused_by_the_files_name(string file, string json)
    {
        using TemporaryFolder folder = Write();
        File.WriteAllText(folder.File(file), json);
        Assert.Contains(file, Assert.Throws<InvalidModelException>(() => Read(folder.Path)).Message);
    }

    [Fact]
    public void An_endless_token_is_refused()
    {
        using TemporaryFolder folder = Write();
        File.WriteAllText(folder.File("added_tokens.json"), $$"""{"{{new string('x', 5000)}}": 30}""");
        string message = Assert.Throws<InvalidModelException>(() => Read(folder.Path)).Message;
        Assert.Contains("5000 characters", message);
        Assert.InRange(message.Length, 50, 400);
    }

    [Theory]
    [InlineData("""{"extra_ids": 20, "legacy": false}""", 1)]
    [InlineData("""{"extra_ids": 20, "legacy": true}""", 0)]
    [InlineData("""{"extra_ids": 20, "legacy": null}""", 0)]
    [InlineData("""{"extra_ids": 20}""", 0)]
    public void The_newer_way_to_go_on_after_special_tokens_is_named(string json, int count)
    {
        using TemporaryFolder folder = Write();
        File.WriteAllText(folder.File("tokenizer_config.json"), json);
        List<string> warnings = Read(folder.Path);
        Assert.Equal(count, warnings.Count);
        Assert.All(warnings, warning => Assert.Contains("\"legacy\": false", warning));
    }

    private static List<string> Read(string folder)
    {
        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder);
        List<string> warnings = [];
        CheckpointTokenizer.Read(checkpoint, warnings);
        return warnings;
    }

    /// <summary>A checkpoint of 37 tokens and a vocabulary of five pieces.</summary>
    private static TemporaryFolder Write()
    {
        var folder = new TemporaryFolder();
        new TinyCheckpoint().Write(folder.Path);
        var model = new ModelProto { TrainerSpec = new TrainerSpec(), NormalizerSpec = new NormalizerSpec() };
        foreach ((string piece, PieceType type) in ((string, PieceType)[])
            [("<pad>", PieceType.Control), ("</s>", PieceType.Control), ("<unk>", PieceType.Unknown), ("▁", PieceType.Normal), ("a", PieceType.Normal)])
        {
            model.Pieces.Add(new ModelProto.Types.SentencePiece { Piece = ByteString.CopyFromUtf8(piece), Type = type, Score = -1 });
        }

        File.WriteAllBytes(folder.File("spiece.model"), model.ToByteArray());
        return folder;
    }
}
