using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class SamSumFileTests
{
    [Fact]
    public void A_dialogue_stands_as_it_is_and_its_summary_is_the_reference()
    {
        using var file = new DataSetText("""
            [{"id": "1", "summary": "They greet.", "dialogue": "Ann: Hi!\r\nBen: Hello \ud83d\ude00"},
             {"dialogue": "", "id": "2", "summary": "", "topic": null}]
            """);
        DataSetExample[] examples = file.Read(DataSetFormat.SamSum);

        Assert.Equal(("1", "Ann: Hi!\r\nBen: Hello 😀", false), (examples[0].Id, examples[0].Text, examples[0].AreAnswers));
        Assert.Equal(["They greet."], examples[0].References);
        Assert.Equal(("2", ""), (examples[1].Id, examples[1].Text));
        Assert.Equal([""], examples[1].References);
        Assert.Equal(2, examples.Length);
    }

    [Theory]
    [InlineData(
        """[{"id": "1", "summary": "s", "dialogue": "d"},{""" + "\n" + """ "id": "1", "summary": "s", "dialogue": "d"}]""",
        "line 2: [1].id is '1'", "line 1")]
    [InlineData("""[{"id": "1", "dialogue": "d"}]""", "line 1: [0].summary is missing")]
    [InlineData("""[{"id": "1", "summary": "s"}]""", "line 1: [0].dialogue is missing")]
    [InlineData("""[{"summary": "s", "dialogue": "d"}]""", "line 1: [0].id is missing")]
    [InlineData("""[{"id": 1, "summary": "s", "dialogue": "d"}]""", "line 1: [0].id is 1", "string")]
    [InlineData("""[{"id": "1", "summary": ["s"], "dialogue": "d"}]""", "line 1: [0].summary is an array", "string")]
    [InlineData("[\n\n\"x\"]", "line 3: [0] is \"x\"", "object")]
    [InlineData("{}", "the whole is an object", "array")]
    [InlineData("[]", "no examples")]
    [InlineData("[{]", "line 1, byte 3", "not valid JSON")]
    public void What_is_wrong_is_named(string text, params string[] words)
    {
        using var file = new DataSetText(text);
        file.AssertRefused(DataSetFormat.SamSum, words);
    }
}
