namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

public sealed class EncodingParityTests
{
    [Theory]
    [InlineData("encode-own.json", 1000)]
    [InlineData("encode-squad.json", 518)]
    [InlineData("encode-e2e.json", 180)]
    public void Equals_reference(string file, int lines)
    {
        IReadOnlyList<EncodeCase> cases = TokenizerFixtures.EncodeCases(file);
        Assert.Equal(lines, cases.Count);
        AssertAllEqual(cases);
    }

    [Fact]
    public void Equals_reference_on_texts_beside_the_repository()
    {
        string path = Path.Combine(TokenizerFixtures.SharedFolder, "encode-samsum.json");
        Assert.SkipUnless(File.Exists(path), "encode-samsum.json may not be copied into the repository and is not beside it.");
        AssertAllEqual(TokenizerFixtures.ReadEncodeCases(path));
    }

    [Fact]
    public void Lone_surrogates_count_as_replacement_characters()
    {
        foreach (var line in TokenizerFixtures.LoneSurrogates())
        {
            string text = new([.. TokenizerFixtures.Ids(line.GetProperty("utf16")).Select(unit => (char)unit)]);
            int[] expected = TokenizerFixtures.Ids(line.GetProperty("hf"));
            Assert.Equal(expected, TokenizerFixtures.Tokenizer.Encode(text, addEndOfSequence: false));
            Assert.Equal(expected, TokenizerFixtures.Tokenizer.Encode(line.GetProperty("equivalent").GetString()!, addEndOfSequence: false));
            Assert.Equal(TokenizerFixtures.Ids(line.GetProperty("sp")), TokenizerFixtures.Tokenizer.Encode(text, false, recognizeSpecialTokens: false));
        }
    }

    [Fact]
    public void Characters_the_map_deletes_do_not_join_their_neighbours()
    {
        // The map would compose A and the grave accent, were they neighbours in the text.
        Assert.Equal([71, 2], TokenizerFixtures.Tokenizer.Encode("A\u0001\u0300", addEndOfSequence: false));
        Assert.Equal([3, 2], TokenizerFixtures.Tokenizer.Encode("A\u0300", addEndOfSequence: false));
        Assert.Equal(TokenizerFixtures.Tokenizer.Encode("ab"), TokenizerFixtures.Tokenizer.Encode("a\u0001b"));
    }

    private static void AssertAllEqual(IReadOnlyList<EncodeCase> cases)
    {
        T5Tokenizer tokenizer = TokenizerFixtures.Tokenizer;
        foreach (EncodeCase line in cases)
        {
            AssertIds(line.Ids, tokenizer.Encode(line.Text, addEndOfSequence: false), line.Text);
            AssertIds([.. line.Ids, 1], tokenizer.Encode(line.Text), line.Text);
            AssertIds(line.PlainIds, tokenizer.Encode(line.Text, addEndOfSequence: false, recognizeSpecialTokens: false), line.Text);
            Assert.Equal(line.Decoded, tokenizer.Decode(line.DecodedIds));
            Assert.Equal(line.DecodedWithSpecials, tokenizer.Decode(line.DecodedIds, skipSpecialTokens: false));
        }
    }

    private static void AssertIds(int[] expected, IReadOnlyList<int> actual, string text) =>
        Assert.True(expected.SequenceEqual(actual), $"'{text}': expected {string.Join(' ', expected)}, got {string.Join(' ', actual)}");
}
