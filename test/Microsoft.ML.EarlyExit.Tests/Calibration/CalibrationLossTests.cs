using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class CalibrationLossTests
{
    private static readonly CalibrationLoss s_unicode = CalibrationLoss.RougeL.WithRougeTokenizer(RougeTokenizer.Unicode);
    private static readonly Arbitrary<string> s_latin = Gen.Elements("the", "The", "CAT", "cats", "running", "3.5", "1,000", "x", "Σ", "日本", "😀", "e\u0301")
        .Zip(Gen.Elements(" ", " ", "\n", ", ", ". ", "! ", "-", "")).ArrayOf()
        .Select(pieces => string.Concat(pieces.Select(piece => piece.Item1 + piece.Item2))).ToArbitrary();

    [Fact]
    public void Losses_have_the_values_of_their_metrics()
    {
        var outcome = new CalibrationOutcome("Это хороший бар", "Это хороший ресторан", ["Это дорогой ресторан", "ресторан"]);
        Assert.Equal(1 - (2 / 3.0), s_unicode.Compute(outcome), 1e-12);
        Assert.Equal(1, CalibrationLoss.RougeL.Compute(outcome));
        Assert.Equal((2 / 3.0) - (1 / 3.0), CalibrationLoss.RougeLRisk.WithRougeTokenizer(RougeTokenizer.Unicode).Compute(outcome), 1e-12);
        Assert.Equal(1 - (ChrfScorer.Score([outcome.EarlyText], [[outcome.FullText]]).Score / 100), CalibrationLoss.Chrf.Compute(outcome), 1e-12);
        double full = ChrfScorer.Score([outcome.FullText], [[.. outcome.References]]).Score;
        double early = ChrfScorer.Score([outcome.EarlyText], [[.. outcome.References]]).Score;
        Assert.Equal((full - early) / 100, CalibrationLoss.ChrfRisk.Compute(outcome), 1e-12);
        Assert.Equal(1, CalibrationLoss.Chrf.Compute(new CalibrationOutcome("", "x", [])));
        Assert.Same(CalibrationLoss.RougeL, CalibrationLoss.RougeL.WithRougeTokenizer(RougeTokenizer.Rouge));
        Assert.Equal(
            ("rougeLRisk", true),
            (CalibrationLoss.RougeLRisk.WithRougeTokenizer(RougeTokenizer.Unicode).Name,
                CalibrationLoss.RougeLRisk.WithRougeTokenizer(RougeTokenizer.Unicode).NeedsReferences));
        Assert.Throws<InvalidOperationException>(() => CalibrationLoss.Chrf.WithRougeTokenizer(RougeTokenizer.Unicode));
        Assert.Throws<ArgumentOutOfRangeException>(() => CalibrationLoss.RougeL.WithRougeTokenizer((RougeTokenizer)5));
    }

    [Fact]
    public void F1_of_texts_without_spaces_is_said_to_take_an_answer_for_a_word()
    {
        Assert.Equal(
            " 80 % of the texts' letters are Chinese, Japanese or Thai, and F1 takes what stands between two spaces for one word: "
            + "the loss chrf needs no words.",
            LossTexts.DescribeUnspaced(CalibrationLoss.TokenF1, ["我们吃饭", "a"]));
        Assert.Contains("the loss chrfRisk", LossTexts.DescribeUnspaced(CalibrationLoss.TokenF1Risk, ["สวัสดี"]));
        Assert.Equal("", LossTexts.DescribeUnspaced(CalibrationLoss.TokenF1, ["Это хороший ресторан", "한국어"]));
        Assert.Equal("", LossTexts.DescribeUnspaced(CalibrationLoss.Chrf, ["我们吃饭"]));
    }

    [Fact]
    public void Texts_that_only_an_early_exit_generates_are_looked_at_too()
    {
        CalibrationLoss loss = CalibrationLoss.RougeL;
        Assert.Contains(
            "of the texts of a candidate",
            Assert.Throws<InvalidOperationException>(() => LossTexts.Check(loss, ["a b", "é"], "the texts of a candidate")).Message);
        LossTexts.Check(loss, [new string('a', 99), "é"], "the texts");
        LossTexts.Check(s_unicode, ["Это"], "the texts");
        LossTexts.Check(CalibrationLoss.Chrf, ["Это"], "the texts");
    }

    [Property]
    public Property Losses_do_not_depend_on_the_alphabet() => Prop.ForAll(s_latin, s_latin, (one, other) =>
    {
        (string first, string second) = (Armenian.Of(one), Armenian.Of(other));
        CalibrationLoss[] losses =
            [s_unicode, CalibrationLoss.RougeLRisk.WithRougeTokenizer(RougeTokenizer.Unicode), CalibrationLoss.Chrf, CalibrationLoss.ChrfRisk];
        foreach (CalibrationLoss loss in losses)
        {
            Assert.Equal(
                loss.Compute(new CalibrationOutcome(one, other, ["the cats", one])),
                loss.Compute(new CalibrationOutcome(first, second, [Armenian.Of("the cats"), first])));
        }
    });
}
