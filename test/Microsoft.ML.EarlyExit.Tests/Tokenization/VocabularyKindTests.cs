using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>What T5's own vocabulary does not have: byte pieces, user-defined pieces, other treatment of spaces, another size.</summary>
public sealed class VocabularyKindTests
{
    [Fact]
    public void Sentinels_follow_the_pieces()
    {
        T5Tokenizer tokenizer = TinyVocabulary.Load(TinyVocabulary.Create("a", "b"));
        Assert.Equal(106, tokenizer.VocabularySize);
        Assert.Equal([105, 6], tokenizer.Encode("<extra_id_0><extra_id_99>", addEndOfSequence: false));
        Assert.Equal("<extra_id_0>", tokenizer.Decode([105, 106], skipSpecialTokens: false));
    }

    [Fact]
    public void Special_tokens_need_not_come_first()
    {
        ModelProto model = new();
        TinyVocabulary.Add(model, "▁", PieceType.Normal);
        TinyVocabulary.Add(model, "a", PieceType.Normal);
        TinyVocabulary.Add(model, "<unk>", PieceType.Unknown);
        TinyVocabulary.Add(model, "</s>", PieceType.Control);
        TinyVocabulary.Add(model, "<pad>", PieceType.Control);
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        Assert.Equal((2, 3, 4), (tokenizer.UnknownTokenId, tokenizer.EndOfSequenceTokenId, tokenizer.PadTokenId));
        Assert.Equal([0, 1, 4, 0, 2, 3], tokenizer.Encode("a<pad>xyz"));
        Assert.Equal("a", tokenizer.Decode([0, 1, 4, 2, 3]));
    }

    [Fact]
    public void Byte_pieces_spell_unknown_characters()
    {
        ModelProto model = TinyVocabulary.Create("a");
        TinyVocabulary.AddBytes(model);
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        int first = 5;
        int[] ids = [3, 4, first + 0xF0, first + 0x9F, first + 0x98, first + 0x80, 4];
        Assert.Equal(ids, tokenizer.Encode("a\U0001F600a", addEndOfSequence: false));
        Assert.Equal("a\U0001F600a", tokenizer.Decode(ids));

        T5StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
        Assert.Equal(["", "a", "", "", "", "\U0001F600", "a"], ids.Select(decoder.Append));
    }

    [Fact]
    public void Bytes_that_are_no_character_become_replacement_characters()
    {
        ModelProto model = TinyVocabulary.Create("a");
        TinyVocabulary.AddBytes(model);
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        Assert.Equal("\uFFFD\uFFFDa\uFFFD", tokenizer.Decode([5 + 0xF0, 5 + 0x9F, 4, 5 + 0x80]));
        Assert.Equal("a", tokenizer.Decode([4, 5 + 0xF0, 5 + 0x9F]));
    }

    [Fact]
    public void User_defined_pieces_are_taken_as_they_stand()
    {
        ModelProto model = TinyVocabulary.Create("b", "[b", "c]");
        model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0");
        TinyVocabulary.Add(model, "[aa]", PieceType.UserDefined);
        T5Tokenizer tokenizer = TinyVocabulary.Load(model);
        Assert.Equal([3, 7, 5, 4], tokenizer.Encode("[aa][aa", addEndOfSequence: false));
    }

    [Fact]
    public void Unused_pieces_are_not_used()
    {
        ModelProto model = TinyVocabulary.Create("a");
        TinyVocabulary.Add(model, "aa", PieceType.Unused);
        Assert.Equal([3, 4, 4], TinyVocabulary.Load(model).Encode("aa", addEndOfSequence: false));
    }

    [Theory]
    [InlineData(true, true, true, new[] { 3, 4, 3, 4 })]
    [InlineData(false, true, true, new[] { 4, 3, 4 })]
    [InlineData(true, false, true, new[] { 3, 3, 4, 3, 3, 4, 3 })]
    [InlineData(false, false, true, new[] { 3, 4, 3, 3, 4, 3 })]
    [InlineData(true, true, false, new[] { 5, 4, 5, 4 })]
    [InlineData(false, false, false, new[] { 5, 4, 5, 5, 4, 5 })]
    public void Spaces_are_treated_as_the_model_says(bool prefix, bool remove, bool escape, int[] ids)
    {
        ModelProto model = TinyVocabulary.Create("a", " ");
        model.NormalizerSpec.AddDummyPrefix = prefix;
        model.NormalizerSpec.RemoveExtraWhitespaces = remove;
        model.NormalizerSpec.EscapeWhitespaces = escape;
        Assert.Equal(ids, TinyVocabulary.Load(model).Encode(" a  a ", addEndOfSequence: false));
    }

    [Fact]
    public void A_model_needs_no_character_map()
    {
        Assert.Equal([3, 4, 3, 2], TinyVocabulary.Load(TinyVocabulary.Create("a")).Encode("a \uFF21", addEndOfSequence: false));
    }
}
