using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class RougeTokenizerTests
{
    private static readonly RougeScorer s_unicode = new(tokenizer: RougeTokenizer.Unicode);
    private static readonly Arbitrary<string> s_latin = Gen.Elements("the", "The", "CAT", "cats", "running", "3.5", "1,000", "x", "Σ", "日本", "😀", "e\u0301")
        .Zip(Gen.Elements(" ", " ", "\n", ", ", ". ", "! ", "-", "")).ArrayOf()
        .Select(pieces => string.Concat(pieces.Select(piece => piece.Item1 + piece.Item2))).ToArbitrary();

    [Theory]
    [InlineData("Это хороший Ресторан!", "это", "хороший", "ресторан")]
    [InlineData("Café naïve, L'ÉTÉ", "café", "naïve", "l", "été")]
    [InlineData("cafe\u0301s d'e\u0301te\u0301", "cafe\u0301s", "d", "e\u0301te\u0301")]
    [InlineData("ΟΔΥΣΣΕΥΣ οδυσσευς", "οδυσσευσ", "οδυσσευσ")]
    [InlineData("İstanbul \u212Aelvin", "istanbul", "kelvin")]
    [InlineData("Բարեւ աշխարհ։", "բարեւ", "աշխարհ")]
    [InlineData("हिन्दी में।", "हिन्दी", "में")]
    [InlineData("क्\u200Dष می\u200Cخواهم", "क्ष", "میخواهم")]
    [InlineData("我在北京，2024年。", "我", "在", "北", "京", "2024", "年")]
    [InlineData("二〇二五年 \U00020000\U0002F800", "二", "〇", "二", "五", "年", "\U00020000", "\U0002F800")]
    [InlineData("これはペンです", "こ", "れ", "は", "ペ", "ン", "で", "す")]
    [InlineData("か\u3099き ｶﾀﾅ", "か\u3099", "き", "ｶ", "ﾀ", "ﾅ")]
    [InlineData("สวัสดี ๒๕", "ส", "วั", "ส", "ดี", "๒๕")]
    [InlineData("한국어 텍스트", "한국어", "텍스트")]
    [InlineData("\U00010400\U00010428 \U0001D7CEx", "\U00010428\U00010428", "\U0001D7CEx")]
    [InlineData("abc日本abc", "abc", "日", "本", "abc")]
    [InlineData("Ⅻ m² snake_case a\uD800b \u0301x", "ⅻ", "m", "snake", "case", "a", "b", "x")]
    [InlineData("… 😀 — ! \u0301", new string[0])]
    public void Words_are_runs_of_letters_and_digits_with_their_marks_and_Chinese_Japanese_and_Thai_ones_alone(string text, params string[] words) =>
        Assert.Equal(words, Words(text));

    [Property]
    public Property ASCII_texts_have_the_words_of_rouge_score() => Prop.ForAll(Gen.Choose(0, 127).Select(c => (char)c).ArrayOf().ToArbitrary(), chars =>
    {
        string text = new(chars);
        foreach (bool useStemmer in (bool[])[false, true])
            Assert.Equal(Words(text, RougeTokenizer.Rouge, useStemmer), Words(text, RougeTokenizer.Unicode, useStemmer));
    });

    [Property]
    public Property Scores_do_not_depend_on_the_alphabet() => Prop.ForAll(s_latin, s_latin, (one, other) =>
    {
        (string first, string second) = (Armenian.Of(one), Armenian.Of(other));
        foreach (bool splitSentences in (bool[])[false, true])
        {
            var scorer = new RougeScorer(tokenizer: RougeTokenizer.Unicode, splitSentences: splitSentences);
            Assert.Equal(scorer.Score(one, other), scorer.Score(first, second));
        }
    });

    [Fact]
    public void Equal_texts_of_any_script_score_1()
    {
        foreach (string text in (string[])["Это хороший ресторан", "我们在北京吃饭", "สวัสดีครับ", "Բարեւ աշխարհ", "γειά σου", "हिन्दी में"])
        {
            Assert.Equal(1, s_unicode.Score(text, text).RougeL.FMeasure);
            Assert.Equal(0, new RougeScorer().Score(text, text).RougeL.FMeasure);
        }

        // The longest common subsequence of characters: 5 of 6 and of 7.
        Assert.Equal(2 * 5.0 / 13, s_unicode.Score("我们在北京吃", "我在北京大吃饭").RougeL.FMeasure, 1e-12);
    }

    [Fact]
    public void Only_words_of_ASCII_are_stemmed() =>
        Assert.Equal(["run", "café", "cafés", "ресторанs", "cat"], Words("running café cafés ресторанs cats", RougeTokenizer.Unicode, useStemmer: true));

    [Theory]
    [InlineData("abc 123", RougeTokenizer.Rouge, 3, 0)]
    [InlineData("Это ok 12", RougeTokenizer.Rouge, 5, 3)]
    [InlineData("Это ok 12", RougeTokenizer.Unicode, 5, 0)]
    [InlineData("٢٠٢٥", RougeTokenizer.Rouge, 4, 4)]
    [InlineData("हिन्दी", RougeTokenizer.Rouge, 3, 3)]
    [InlineData("\u212A İ \U00010400 … \uD800", RougeTokenizer.Rouge, 3, 1)]
    public void Letters_that_the_tokenizer_drops_are_counted(string text, RougeTokenizer tokenizer, int letters, int dropped)
    {
        RougeTextStatistics statistics = default(RougeTextStatistics).Add(text, new RougeRules(false, tokenizer, false));
        Assert.Equal((letters, dropped), (statistics.LetterCount, statistics.DroppedLetterCount));
        Assert.Equal((double)dropped / letters, statistics.DroppedShare);
        Assert.Equal(dropped > 0, statistics.DropsTooMuch);
    }

    [Fact]
    public void One_letter_of_a_hundred_may_be_dropped_and_no_more()
    {
        Assert.False(Add(new string('a', 99) + "é").DropsTooMuch);
        Assert.True(Add(new string('a', 98) + "é").DropsTooMuch);
        Assert.False(default(RougeTextStatistics).DropsTooMuch);

        static RougeTextStatistics Add(string text) => default(RougeTextStatistics).Add(text, default);
    }

    [Fact]
    public void Lines_and_sentences_of_the_longest_text_are_counted()
    {
        Assert.Equal(1, Lines(false, "One. Two.", "\n x \n \n"));
        Assert.Equal(2, Lines(false, "a", "a\nb"));
        Assert.Equal(3, Lines(true, "One. Two.\nThree", "a"));
        Assert.Equal(0, Lines(true, "", " \n"));

        static int Lines(bool splitSentences, params string[] texts) =>
            texts.Aggregate(
                default(RougeTextStatistics), (sum, text) => sum.Add(text, new RougeRules(false, RougeTokenizer.Unicode, splitSentences))).MostLines;
    }

    [Fact]
    public void A_tokenizer_that_is_none_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>("tokenizer", () => new RougeScorer(tokenizer: (RougeTokenizer)2));

    private static string[] Words(string text, RougeTokenizer tokenizer = RougeTokenizer.Unicode, bool useStemmer = false)
    {
        TokenTable table = new();
        RougeTokens tokens = new();
        tokens.Read(text, new RougeRules(useStemmer, tokenizer, SplitSentences: false), table);
        return [.. tokens.Ids.ToArray().Select(id => table[id].ToString())];
    }
}
