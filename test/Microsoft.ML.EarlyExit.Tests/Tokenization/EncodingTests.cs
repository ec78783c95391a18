using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

public sealed class EncodingTests
{
    private static T5Tokenizer Tokenizer => TokenizerFixtures.Tokenizer;

    [Fact]
    public void Knows_the_ids_of_t_5()
    {
        Assert.Equal(32100, Tokenizer.VocabularySize);
        Assert.Equal(0, Tokenizer.PadTokenId);
        Assert.Equal(1, Tokenizer.EndOfSequenceTokenId);
        Assert.Equal(2, Tokenizer.UnknownTokenId);
    }

    [Fact]
    public void Null_text_is_an_error() => Assert.Throws<ArgumentNullException>("text", () => Tokenizer.Encode(null!));

    [Fact]
    public void Absurdly_long_text_is_an_error() => Assert.Throws<ArgumentException>("text", () => Tokenizer.Encode(new string('a', (1 << 26) + 1)));

    [Theory]
    [InlineData("")]
    [InlineData(" \t\r\n\u3000\u200B")]
    [InlineData("\u0001")]
    [InlineData("▁ ▁")]
    public void Blank_text_has_no_ids_of_its_own(string text)
    {
        Assert.Equal([1], Tokenizer.Encode(text));
        Assert.Empty(Tokenizer.Encode(text, addEndOfSequence: false));
    }

    [Theory]
    [InlineData("<extra_id_0>", new[] { 32099 })]
    [InlineData("<extra_id_99>", new[] { 32000 })]
    [InlineData("a \u0085 <extra_id_10> \u0085 a", new[] { 3, 9, 32089, 3, 9 })]
    [InlineData("</s></s><pad>", new[] { 1, 1, 0 })]
    public void Recognises_special_tokens(string text, int[] ids) => Assert.Equal(ids, Tokenizer.Encode(text, addEndOfSequence: false));

    [Theory]
    [InlineData("<extra_id_100>")]
    [InlineData("<extra_id_00>")]
    [InlineData("<extra_id_>")]
    [InlineData("</S>")]
    public void Leaves_almost_special_tokens_alone(string text)
    {
        IReadOnlyList<int> ids = Tokenizer.Encode(text, addEndOfSequence: false);
        Assert.Equal(Tokenizer.Encode(text, addEndOfSequence: false, recognizeSpecialTokens: false), ids);
        Assert.All(ids, id => Assert.InRange(id, 2, 31999));
    }

    [Property(MaxTest = 300)]
    public void Any_text_gives_ids_of_the_vocabulary(string? text, bool recognize)
    {
        foreach (int id in Tokenizer.Encode(text ?? "", addEndOfSequence: false, recognize))
        {
            Assert.InRange(id, 0, Tokenizer.VocabularySize - 1);
        }
    }

    [Property(MaxTest = 300)]
    public Property Special_tokens_part_the_text() => Prop.ForAll(
        TextWithoutAngles(), TextWithoutAngles(), (left, right) =>
            Tokenizer.Encode(left + "</s>" + right, addEndOfSequence: false)
                .SequenceEqual([.. Tokenizer.Encode(left), .. Tokenizer.Encode(right, addEndOfSequence: false)]));

    [Property(MaxTest = 300)]
    public Property Words_come_back() => Prop.ForAll(
        Gen.Elements("The", "Cricketers", "is", "a", "rated", "pub,", "near", "é", "Straße", "42.", "x-y").NonEmptyListOf()
            .Select(words => string.Join(' ', words)).ToArbitrary(),
        text => Tokenizer.Decode([.. Tokenizer.Encode(text)]) == text);

    [Theory]
    [InlineData("a", 1)]
    [InlineData(" ", 1)]
    [InlineData("<", 1)]
    [InlineData("\u98E8", 1)]
    [InlineData("\uFDFA", 1)]
    [InlineData("\uD83D", 1)]
    [InlineData("</s>", 4)]
    [InlineData("<extra_id_7>", 12)]
    [InlineData("\u3000x\u0300", 3)]
    public void Long_texts_are_encoded_in_one_go(string unit, int length)
    {
        string text = string.Concat(Enumerable.Repeat(unit, 400_000 / length));
        IReadOnlyList<int> ids = Tokenizer.Encode(text, addEndOfSequence: false);
        IReadOnlyList<int> again = Tokenizer.Encode(text, addEndOfSequence: false);
        Assert.True(ids.SequenceEqual(again));
        Assert.InRange(ids.Count, 0, text.Length * 8);
    }

    [Fact]
    public void A_long_run_of_unknown_characters_is_one_id() => Assert.Equal([3, 2], Tokenizer.Encode(new string('\u98E8', 500_000), addEndOfSequence: false));

    [Fact]
    public void Memory_of_one_call_is_for_its_ids_only()
    {
        string text = string.Concat(Enumerable.Repeat("The Cricketers is a highly rated pub near the riverside. ", 4_000));
        Tokenizer.Encode(text);
        long before = GC.GetAllocatedBytesForCurrentThread();
        int ids = Tokenizer.Encode(text).Count;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (ids * sizeof(int) * 4) + 4096);
    }

    [Fact]
    public void Several_threads_share_a_tokenizer()
    {
        IReadOnlyList<EncodeCase> cases = TokenizerFixtures.EncodeCases("encode-e2e.json");
        Parallel.For(0, cases.Count * 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            EncodeCase line = cases[i % cases.Count];
            Assert.True(line.Ids.SequenceEqual(Tokenizer.Encode(line.Text, addEndOfSequence: false)), line.Text);
            Assert.Equal(line.Decoded, Tokenizer.Decode(line.DecodedIds));
        });
    }

    private static Arbitrary<string> TextWithoutAngles() =>
        ArbMap.Default.ArbFor<string>().Generator.Select(text => (text ?? "").Replace('<', 'l').Replace('>', 'r')).ToArbitrary();
}
