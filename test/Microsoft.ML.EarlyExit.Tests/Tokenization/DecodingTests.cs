using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

public sealed class DecodingTests
{
    private static T5Tokenizer Tokenizer => TokenizerFixtures.Tokenizer;

    [Fact]
    public void Equals_reference()
    {
        IReadOnlyList<JsonElement> cases = TokenizerFixtures.DecodeCases();
        Assert.Equal(408, cases.Count);
        foreach (JsonElement line in cases)
        {
            int[] ids = TokenizerFixtures.Ids(line.GetProperty("ids"));
            Assert.Equal(line.GetProperty("hf_decode").GetString(), Tokenizer.Decode(ids));
            Assert.Equal(line.GetProperty("hf_decode_special").GetString(), Tokenizer.Decode(ids, skipSpecialTokens: false));
        }
    }

    [Fact]
    public void Streams_the_references_prefixes()
    {
        int streamed = 0;
        foreach (JsonElement line in TokenizerFixtures.DecodeCases().Where(line => line.TryGetProperty("prefixes", out _)))
        {
            T5StreamingDecoder decoder = Tokenizer.CreateStreamingDecoder();
            StringBuilder text = new();
            foreach ((int id, JsonElement prefix) in TokenizerFixtures.Ids(line.GetProperty("ids")).Zip(line.GetProperty("prefixes").EnumerateArray()))
            {
                text.Append(decoder.Append(id));
                Assert.Equal(prefix.GetString(), text.ToString());
            }

            streamed++;
        }

        Assert.Equal(100, streamed);
    }

    [Property(MaxTest = 300)]
    public Property Streamed_pieces_add_up_to_every_prefix() => Prop.ForAll(AnyIds(), ids => new[] { false, true }.All(skip =>
    {
        T5StreamingDecoder decoder = Tokenizer.CreateStreamingDecoder(skip);
        string text = "";
        for (int i = 0; i < ids.Length; i++)
        {
            string piece = decoder.Append(ids[i]);
            text += piece;
            if (text != Tokenizer.Decode(ids.AsSpan(0, i + 1), skip) || !IsWholeCharacters(piece))
            {
                return false;
            }
        }

        return true;
    }));

    [Fact]
    public void Negative_ids_are_an_error()
    {
        Assert.Contains("-7", Assert.Throws<ArgumentOutOfRangeException>(() => Tokenizer.Decode([3, -7])).Message, StringComparison.Ordinal);
        Assert.Contains(
            "-1", Assert.Throws<ArgumentOutOfRangeException>("id", () => Tokenizer.CreateStreamingDecoder().Append(-1)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_beyond_the_vocabulary_have_no_text()
    {
        Assert.Equal("", Tokenizer.Decode([32100, 32127, int.MaxValue], skipSpecialTokens: false));
        Assert.Equal("<extra_id_99><extra_id_0>", Tokenizer.Decode([32000, 32127, 32099], skipSpecialTokens: false));
    }

    private static bool IsWholeCharacters(string text) => text == Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));

    private static Arbitrary<int[]> AnyIds() => Gen.Frequency(
        (8, Gen.Choose(3, 31999)),
        (2, Gen.Choose(0, 3)),
        (1, Gen.Choose(32000, 32130))).ArrayOf().ToArbitrary();
}
