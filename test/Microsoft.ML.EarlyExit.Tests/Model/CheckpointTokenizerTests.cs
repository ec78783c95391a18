using System.Text.Json.Nodes;
using Google.Protobuf;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Sentencepiece;
using Microsoft.ML.EarlyExit.Tests.Tokenization;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What a checkpoint says of its tokenizer, from its files through the bundle to the loaded model.</summary>
public sealed class CheckpointTokenizerTests : IDisposable
{
    private const string Listed =
        """
        {"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "additional_special_tokens": ["<b>"], "model_max_length": 1000000000000000019884624838656,
         "added_tokens_decoder": {
           "1": {"content": "</s>", "special": true, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false},
           "931": {"content": "<extra_id_0>", "special": true, "lstrip": true, "rstrip": true, "normalized": false, "single_word": false},
           "932": {"content": "{", "special": false, "lstrip": false, "rstrip": false, "normalized": true, "single_word": false},
           "1000": {"content": "<sep>", "special": true, "lstrip": true},
           "1001": {"content": "<b>"}}}
        """;

    private readonly TextCheckpoint _checkpoint = new();

    public void Dispose() => _checkpoint.Dispose();

    [Fact]
    public void Added_tokens_come_with_the_bundle()
    {
        _checkpoint.Write("tokenizer_config.json", Listed);
        // Not read where the configuration lists tokens.
        _checkpoint.Write("added_tokens.json", """{"other": 5000}""");
        using EarlyExitModel model = _checkpoint.Load();
        Assert.Equal(2, model.Bundle.Manifest.FormatVersion);
        AddedToken[] expected =
            [new(932, "{", false, false, false, false), new(1000, "<sep>", true, true, false, false), new(1001, "<b>", true, false, false, false)];

        // What says nothing new of a token that there is, is not kept.
        Assert.Equal(expected, model.Bundle.Manifest.Tokenizer!.AddedTokens);
        Assert.Equal(100, model.Bundle.Manifest.Tokenizer.SentinelCount);
        T5Tokenizer tokenizer = model.Tokenizer!;
        Assert.Equal([.. tokenizer.Encode("7", false), 1000, .. tokenizer.Encode("8", false), 932, 931, 1], tokenizer.Encode("7 <sep> 8{<extra_id_0>"));
        Assert.Equal("7{ 8", tokenizer.Decode(tokenizer.Encode("7<sep>{8<b>").ToArray()));
    }

    [Fact]
    public void Older_files_name_ids_and_special_tokens()
    {
        _checkpoint.Write("tokenizer_config.json", """{"extra_ids": 100, "eos_token": {"content": "</s>", "__type": "AddedToken"}}""");
        _checkpoint.Write("added_tokens.json", """{"<s1>": 932, "<s2>": 933, "plain": 934}""");
        _checkpoint.Write("special_tokens_map.json", """{"additional_special_tokens": ["<s1>", {"content": "<s2>", "lstrip": true}], "eos_token": "</s>"}""");
        using EarlyExitModel model = _checkpoint.Load();
        Assert.Equal([(932, true), (933, true), (934, false)], model.Bundle.Manifest.Tokenizer!.AddedTokens.Select(token => (token.Id, token.IsSpecial)));
        Assert.Equal("plain", model.Tokenizer!.Decode([932, 934, 933]));
    }

    [Fact]
    public void Added_tokens_survive_a_saved_pipeline()
    {
        _checkpoint.Write("tokenizer_config.json", Listed);
        _checkpoint.Convert();
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable([new DemoRow { Prompt = "1 {2<sep>" }, new DemoRow { Prompt = "<b>" }]);
        var options = new TextGenerationOptions { MaxNewTokens = 6 };
        string path = Path.Combine(Path.GetDirectoryName(_checkpoint.Bundle)!, "saved.zip");
        string[] texts;
        using (TextGenerationTransformer transformer = context.Transforms.Text.GenerateText("Text", "Prompt", _checkpoint.Bundle, options).Fit(data))
        {
            texts = [.. transformer.Transform(data).GetColumn<string>("Text")];
            context.Model.Save(transformer, data.Schema, path);
        }

        Directory.Delete(_checkpoint.Bundle, recursive: true);
        using var loaded = (TextGenerationTransformer)context.Model.Load(path, out _);
        Assert.Equal(texts, loaded.Transform(data).GetColumn<string>("Text"));
        Assert.Equal([932, 1000, 1001, 1], loaded.Model.Tokenizer!.Encode("{<sep><b>"));
    }

    [Theory]
    [InlineData("""{"added_tokens_decoder": {"1024": {"content": "<far>"}}}""", "tokenizer_config.json", "'<far>'", "1024 rows")]
    [InlineData("""{"added_tokens_decoder": {"-1": {"content": "<far>"}}}""", "tokenizer_config.json", "'-1'")]
    [InlineData("""{"added_tokens_decoder": {"0x3": {"content": "<far>"}}}""", "tokenizer_config.json", "'0x3'")]
    [InlineData("""{"added_tokens_decoder": {"932": {"content": "twice"}, "933": {"content": "twice"}}}""", "tokenizer_config.json", "'twice'", "two ids")]
    [InlineData("""{"added_tokens_decoder": {"932": {"content": ""}}}""", "tokenizer_config.json", "932", "0 characters")]
    [InlineData("""{"added_tokens_decoder": {"932": {"special": true}}}""", "added_tokens_decoder.932", "content")]
    [InlineData("""{"added_tokens_decoder": {"932": {"content": "a", "lstrip": 1}}}""", "added_tokens_decoder.932", "lstrip")]
    [InlineData("""{"added_tokens_decoder": {"932": "<far>"}}""", "added_tokens_decoder")]
    [InlineData("""{"added_tokens_decoder": []}""", "added_tokens_decoder")]
    [InlineData("""{"extra_ids": -1}""", "extra_ids")]
    [InlineData("[]", "tokenizer_config.json")]
    [InlineData("""{"added_tokens_decoder": {"932": {"content": "\ud800"}}}""", "tokenizer_config.json")]
    public void Impossible_added_tokens_are_refused_by_name(string config, params string[] said)
    {
        _checkpoint.Write("tokenizer_config.json", config);
        AssertRefused(said);
    }

    [Theory]
    [InlineData("""{"a1": 932, "a2": 932}""", "'a1'", "'a2'", "932")]
    [InlineData("""{"a1": 1024}""", "'a1'", "1024 rows")]
    [InlineData("""{"a1": "932"}""", "a1")]
    [InlineData("""{"a1": 932, "a1": 933}""", "added_tokens.json")]
    public void Impossible_older_files_are_refused_by_name(string added, params string[] said)
    {
        _checkpoint.Write("added_tokens.json", added);
        AssertRefused([.. said, "added_tokens.json"]);
    }

    [Fact]
    public void A_token_at_the_id_of_another_piece_is_said_and_takes_its_place()
    {
        _checkpoint.Write("added_tokens.json", """{"<mine>": 500}""");
        string warning = Assert.Single(_checkpoint.Convert());
        Assert.Contains("'<mine>'", warning);
        Assert.Contains("500", warning);
        using EarlyExitModel model = EarlyExitModel.Load(_checkpoint.Bundle);
        Assert.Equal([500, 1], model.Tokenizer!.Encode("<mine>"));
    }

    [Fact]
    public void A_sound_checkpoint_has_nothing_to_say_and_the_first_version()
    {
        Assert.Empty(_checkpoint.Convert());
        using ModelBundle bundle = ModelBundle.Open(_checkpoint.Bundle);
        Assert.Equal(1, bundle.Manifest.FormatVersion);
        Assert.DoesNotContain("sentinel", File.ReadAllText(Path.Combine(_checkpoint.Bundle, "model.json")));
    }

    [Fact]
    public void A_checkpoint_without_a_vocabulary_is_said_to_take_ids_only()
    {
        File.Delete(Path.Combine(_checkpoint.Source, "spiece.model"));
        string warning = Assert.Single(_checkpoint.Convert());
        Assert.Contains("token ids only", warning);
        Assert.Contains("text", warning);
        _checkpoint.Write("tokenizer.json", "{}");
        Assert.Contains("tokenizer.json is not read", Assert.Single(_checkpoint.Convert()));
    }

    [Fact]
    public void Where_vocabulary_and_model_disagree_it_is_said()
    {
        ModelProto vocabulary = TextCheckpoint.Vocabulary();
        for (int more = 0; vocabulary.Pieces.Count < 1000; more++)
            TinyVocabulary.Add(vocabulary, $"more{more}", PieceType.Normal, -9);
        _checkpoint.Write(vocabulary);
        string warning = Assert.Single(_checkpoint.Convert());
        Assert.Contains("1100 ids", warning);
        Assert.Contains("1024 rows", warning);

        for (int more = 0; vocabulary.Pieces.Count < 1025; more++)
            TinyVocabulary.Add(vocabulary, $"yet{more}", PieceType.Normal, -9);
        _checkpoint.Write(vocabulary);
        Assert.Contains("1025 pieces", Assert.Single(_checkpoint.Convert()));

        _checkpoint.Write(TextCheckpoint.Vocabulary());
        _checkpoint.EditConfig(config => (config["eos_token_id"], config["pad_token_id"]) = (5, 6));
        IReadOnlyList<string> warnings = _checkpoint.Convert();
        Assert.Equal(2, warnings.Count);
        Assert.Contains("eos_token_id", warnings[0]);
        Assert.Contains("pad_token_id", warnings[1]);
    }

    [Fact]
    public void Padding_is_the_models_where_the_vocabulary_has_none()
    {
        ModelProto vocabulary = TextCheckpoint.Vocabulary();
        vocabulary.Pieces[0].Piece = ByteString.CopyFromUtf8("<bos>");
        _checkpoint.Write(vocabulary);
        _checkpoint.EditConfig(config => config["pad_token_id"] = 9);
        Assert.Empty(_checkpoint.Convert());
        using EarlyExitModel model = EarlyExitModel.Load(_checkpoint.Bundle);
        Assert.Equal(9, model.Tokenizer!.PadTokenId);
    }

    [Theory]
    [InlineData("""{"extra_ids": 100}""")]
    [InlineData("""{"extra_ids": 0}""")]
    [InlineData("{}")]
    public void Sentinels_of_the_vocabulary_are_not_added_again(string config)
    {
        ModelProto vocabulary = TextCheckpoint.Vocabulary();
        TinyVocabulary.Add(vocabulary, "▁<extra_id_0>", PieceType.UserDefined);
        _checkpoint.Write(vocabulary);
        _checkpoint.Write("tokenizer_config.json", config);
        using EarlyExitModel model = _checkpoint.Load();
        Assert.Equal((0, 2), (model.Bundle.Manifest.Tokenizer!.SentinelCount, model.Bundle.Manifest.FormatVersion));
        Assert.Equal(TextCheckpoint.Pieces + 1, model.Tokenizer!.VocabularySize);
        Assert.Equal([TextCheckpoint.Pieces, 1], model.Tokenizer.Encode("<extra_id_0>"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void There_are_as_many_sentinels_as_the_configuration_says(int count)
    {
        _checkpoint.Write("tokenizer_config.json", $$"""{"extra_ids": {{count}}}""");
        using EarlyExitModel model = _checkpoint.Load();
        Assert.Equal(TextCheckpoint.Pieces + count, model.Tokenizer!.VocabularySize);
        if (count > 0)
            Assert.Equal([TextCheckpoint.Pieces + count - 1, 1], model.Tokenizer.Encode("<extra_id_0>"));
    }

    private void AssertRefused(string[] said)
    {
        string message = Assert.Throws<InvalidModelException>(() => _checkpoint.Convert()).Message;
        Assert.All(said, part => Assert.Contains(part, message, StringComparison.Ordinal));
        Assert.False(Directory.Exists(_checkpoint.Bundle));
    }
}
