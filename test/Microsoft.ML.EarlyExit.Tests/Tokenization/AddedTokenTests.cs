using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>Tokens that a user added to a checkpoint, vocabularies without padding, and vocabularies that hold sentinels themselves.</summary>
public sealed class AddedTokenTests
{
    private const int Plain = 200;
    private const int Left = 201;
    private const int Right = 202;
    private const int Word = 203;
    private const int Longer = 204;
    private const int Both = 205;
    private const int Special = 206;

    private static readonly AddedToken[] s_tokens =
    [
        new(Plain, "<x>", false, false, false, false), new(Left, "<l>", false, true, false, false), new(Right, "<r>", false, false, true, false),
        new(Word, "ab", false, false, false, true), new(Longer, "<x>y", false, false, false, false), new(Both, "<w>", false, true, true, true),
        new(Special, "<sep>", true, false, false, false),
    ];

    // Pieces: <pad> 0, </s> 1, <unk> 2, ▁ 3, a 4, b 5, c 6. White space stays, so that what flags swallow shows.
    private static readonly T5Tokenizer s_tokenizer = Load(Spaces(TinyVocabulary.Create("a", "b", "c")), s_tokens);

    [Theory]
    [InlineData("a<x>b", new[] { 3, 4, Plain, 3, 5 })]
    [InlineData("<x>", new[] { Plain })]
    [InlineData("<x><x>", new[] { Plain, Plain })]
    [InlineData("a <x> b", new[] { 3, 4, 3, Plain, 3, 3, 5 })]
    [InlineData("a <l> b", new[] { 3, 4, Left, 3, 3, 5 })]
    [InlineData("a <r> b", new[] { 3, 4, 3, Right, 3, 5 })]
    [InlineData("a\u001c\n<l>", new[] { 3, 4, Left })]
    [InlineData("<r> <l>", new[] { Right, Left })]
    [InlineData("<x>y", new[] { Longer })]
    [InlineData("<x>a", new[] { Plain, 3, 4 })]
    [InlineData("a<sep>b", new[] { 3, 4, Special, 3, 5 })]
    public void Are_one_id_with_the_white_space_that_their_flags_say(string text, int[] ids) =>
        Assert.Equal(ids, s_tokenizer.Encode(text, addEndOfSequence: false));

    // As in transformers: what is joined to a neighbour is segmented with it, also where that was a token, every part for itself; only U+0020 ends a word.
    [Theory]
    [InlineData("ab", new[] { Word })]
    [InlineData("c ab c", new[] { 3, 6, 3, Word, 3, 3, 6 })]
    [InlineData("cab", new[] { 3, 6, 4, 5 })]
    [InlineData("abc", new[] { 3, 4, 5, 6 })]
    [InlineData("ab abc", new[] { Word, 3, 3, 3, 4, 5, 6 })]
    [InlineData("<x>ab", new[] { 3, 2, 4, 5 })]
    [InlineData("ab<x>", new[] { 3, 4, 5, 2 })]
    [InlineData("c\tab", new[] { 3, 6, 2, 4, 5 })]
    [InlineData("cabab", new[] { 3, 6, 4, 5, Word })]
    [InlineData("c <w> c", new[] { 3, 6, Both, 3, 6 })]
    [InlineData("c\n<w> c", new[] { 3, 6, 2, 3, 6 })]
    public void Single_words_stand_between_spaces(string text, int[] ids) => Assert.Equal(ids, s_tokenizer.Encode(text, addEndOfSequence: false));

    [Fact]
    public void Are_characters_where_special_tokens_are_not_recognised() =>
        Assert.Equal([3, 4, 2, 5], s_tokenizer.Encode("a<x>b", addEndOfSequence: false, recognizeSpecialTokens: false));

    [Fact]
    public void Are_written_out_and_special_ones_skipped()
    {
        Assert.Equal(Special + 1, s_tokenizer.VocabularySize);
        int[] ids = [Plain, 3, 4, Special, Longer, 3, 5, 1];
        Assert.Equal("<x> a<x>y b", s_tokenizer.Decode(ids));
        Assert.Equal("<x> a<sep><x>y b</s>", s_tokenizer.Decode(ids, skipSpecialTokens: false));
        T5StreamingDecoder decoder = s_tokenizer.CreateStreamingDecoder();
        Assert.Equal(["<x>", " ", "a", "", "<x>y", " ", "b", ""], ids.Select(decoder.Append));

        // Between the sentinels, which end at 106, and the added tokens there is nothing.
        Assert.Equal("a", s_tokenizer.Decode([107, 199, 3, 4, 150, 207]));
    }

    [Fact]
    public void Take_the_place_of_a_piece_and_change_the_flags_of_a_sentinel()
    {
        AddedToken[] tokens = [new(5, "{", false, false, false, false), new(106, "<extra_id_0>", true, false, false, false)];
        T5Tokenizer tokenizer = Load(Spaces(TinyVocabulary.Create("a", "b", "c")), tokens);
        Assert.Equal(107, tokenizer.VocabularySize);
        Assert.Equal([3, 4, 5, 3, 6], tokenizer.Encode("a{c", addEndOfSequence: false));
        Assert.Equal("{ c", tokenizer.Decode([5, 3, 6]));
        Assert.Equal([3, 4, 3, 106, 3, 3, 6], tokenizer.Encode("a <extra_id_0> c", addEndOfSequence: false));
        Assert.Equal([3, 4, 105, 3, 6], tokenizer.Encode("a <extra_id_1> c", addEndOfSequence: false));
    }

    [Property(MaxTest = 500)]
    public Property Are_found_leftmost_first_and_then_longest() => Prop.ForAll(
        Gen.Elements("a", "b", "<x>", "<x", "x>", "<x>y", "xx", "x", "y", "<", " ").ArrayOf().Select(parts => string.Concat(parts)).ToArbitrary(),
        text =>
        {
            string[] contents = ["x", "xx", "<x>", "<x>y", "y<"];
            T5Tokenizer tokenizer = Load(
                TinyVocabulary.Create("a", "b", "y", "<", ">"),
                [.. contents.Select((content, index) => new AddedToken(Plain + index, content, false, false, false, false))]);
            List<int> expected = [];
            int start = 0;
            for (int at = 0; at < text.Length;)
            {
                string? found = contents.Where(content => string.CompareOrdinal(text, at, content, 0, content.Length) == 0).MaxBy(content => content.Length);
                if (found is null)
                {
                    at++;
                    continue;
                }

                expected.AddRange(tokenizer.Encode(text[start..at], addEndOfSequence: false, recognizeSpecialTokens: false));
                expected.Add(Plain + Array.IndexOf(contents, found));
                start = at += found.Length;
            }

            expected.AddRange(tokenizer.Encode(text[start..], addEndOfSequence: false, recognizeSpecialTokens: false));
            return expected.SequenceEqual(tokenizer.Encode(text, addEndOfSequence: false));
        });

    [Fact]
    public void A_vocabulary_may_have_no_padding()
    {
        ModelProto model = TinyVocabulary.Create("a");
        model.Pieces[0].Piece = ByteString.CopyFromUtf8("<bos>");
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        Assert.Equal((-1, 1), (tokenizer.PadTokenId, tokenizer.EndOfSequenceTokenId));
        Assert.Equal([3, 4, 1], tokenizer.Encode("a"));
        Assert.Equal("a", tokenizer.Decode([0, 3, 4, 1]));
        Assert.Equal(7, Load(model, [], padTokenId: 7).PadTokenId);
        Assert.Equal(0, Load(TinyVocabulary.Create("a"), [], padTokenId: 7).PadTokenId);
    }

    [Theory]
    [InlineData("▁<extra_id_1>", "▁<extra_id_0>")]
    [InlineData("<extra_id_1>", "<extra_id_0>")]
    public void Sentinels_that_a_vocabulary_holds_keep_their_ids(string first, string second)
    {
        ModelProto model = TinyVocabulary.Create("a");
        TinyVocabulary.Add(model, first, PieceType.UserDefined);
        TinyVocabulary.Add(model, second, PieceType.UserDefined);
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        Assert.Equal(7, tokenizer.VocabularySize);
        int[] word = first[0] == '▁' ? [] : [3];
        Assert.Equal([.. word, 6, 3, 4, .. word, 5, 1], tokenizer.Encode("<extra_id_0> a <extra_id_1>"));

        // They are pieces like others, in transformers too, and so are never skipped.
        Assert.Equal("<extra_id_0> a", tokenizer.Decode([.. word, 6, 3, 4, 1]));
    }

    private static ModelProto Spaces(ModelProto model)
    {
        model.NormalizerSpec.RemoveExtraWhitespaces = false;
        return model;
    }

    private static T5Tokenizer Load(ModelProto model, AddedToken[] tokens, int? padTokenId = null)
    {
        using var folder = new TemporaryFolder(Path.GetTempPath());
        string path = Path.Combine(folder.Path, "spiece.model");
        File.WriteAllBytes(path, model.ToByteArray());
        return T5Tokenizer.Load(path, padTokenId, new T5TokenizerSettings(T5Tokenizer.DefaultSentinels, tokens));
    }
}
