using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class SentencesTests
{
    [Theory]
    [InlineData("One. Two! Three? Four… Five", "One.", " Two!", " Three?", " Four…", " Five")]
    [InlineData("It costs 3.5 pounds, 1,000.50 in all. Yes.", "It costs 3.5 pounds, 1,000.50 in all.", " Yes.")]
    [InlineData("Some, e.g. this one, go on... and on. End", "Some, e.g. this one, go on... and on.", " End")]
    [InlineData("J. R. Smith of the U.S. Army came. He left.", "J. R. Smith of the U.S. Army came.", " He left.")]
    [InlineData("Mr. Smith came.", "Mr.", " Smith came.")]
    [InlineData("\"Stop!\" he said. \"Go.\" (She went.) Then", "\"Stop!\" he said.", " \"Go.\"", " (She went.)", " Then")]
    [InlineData("„Halt.“ Er ging. »Ja!« Nein", "„Halt.“", " Er ging.", " »Ja!«", " Nein")]
    [InlineData("我来了。他走了！“好吗？”是。", "我来了。", "他走了！", "“好吗？”", "是。")]
    [InlineData("Привет. Как дела? хорошо", "Привет.", " Как дела? хорошо")]
    [InlineData("यह है। वह है॥ और", "यह है।", " वह है॥", " और")]
    [InlineData("Ի՞նչ։ Այո", "Ի՞նչ։", " Այո")]
    [InlineData("a.b?c", "a.b?c")]
    [InlineData("Really?! No.", "Really?!", " No.")]
    [InlineData("The end.  ", "The end.", "  ")]
    [InlineData("...", "...")]
    [InlineData("")]
    public void Sentences_end_at_punctuation_before_a_space_and_no_small_letter(string text, params string[] sentences) => Assert.Equal(sentences, Split(text));

    [Property]
    public Property Nothing_is_lost() => Prop.ForAll(
        Gen.Elements("a", "B", "3", ".", "!", "?", "…", "。", "”", "“", "\"", ")", " ", "\n", "中", "\uD800", "\U0001F600").ArrayOf().ToArbitrary(),
        pieces => Assert.Equal(string.Concat(pieces), string.Concat(Split(string.Concat(pieces)))));

    [Fact]
    public void Summaries_are_compared_sentence_by_sentence_as_if_each_were_a_line()
    {
        const string Prediction = "The cat sat. A dog barked.";
        const string Reference = "A dog barked loudly. The cat sat down.";
        RougeScores plain = new RougeScorer().Score(Prediction, Reference);
        RougeScores split = new RougeScorer(splitSentences: true).Score(Prediction, Reference);

        Assert.Equal(plain.RougeL, plain.RougeLsum);
        Assert.Equal(plain.RougeL, split.RougeL);
        Assert.Equal(new RougeScorer().Score(Prediction.Replace(". ", ".\n"), Reference.Replace(". ", ".\n")), split);
        Assert.Equal(1, split.RougeLsum.Precision);
        Assert.Equal(0.5, split.RougeL.Precision);
    }

    private static List<string> Split(string text)
    {
        List<string> sentences = [];
        while (text.Length > 0)
        {
            int length = Sentences.FirstLength(text);
            sentences.Add(text[..length]);
            text = text[length..];
        }

        return sentences;
    }
}
