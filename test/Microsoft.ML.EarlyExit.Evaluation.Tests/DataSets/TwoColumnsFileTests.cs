using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class TwoColumnsFileTests
{
    [Fact]
    public void Lines_are_examples_with_numbers_for_ids()
    {
        using var file = new DataSetText("a \"b\"\tc\r\n\n\td\n", "data.tsv");
        DataSetExample[] examples = file.Read(DataSetFormat.TwoColumns);
        Assert.Equal(
            [("1", "a \"b\"", "c", false), ("2", "", "d", false)],
            examples.Select(one => (one.Id, one.Text, one.References.Single(), one.AreAnswers)));
    }

    [Fact]
    public void A_first_line_of_the_two_names_is_a_header_and_no_other_line_is()
    {
        using var file = new DataSetText("\uFEFFtext\treference\r\na\tb\ntext\treference\n", "data.tsv");
        Assert.Equal(["a", "text"], file.Read(DataSetFormat.TwoColumns).Select(one => one.Text));
    }

    [Theory]
    [InlineData("", "no examples")]
    [InlineData("text\treference\n", "no examples")]
    [InlineData("a\tb\nc\n", "line 2: 1 column;")]
    [InlineData("a\tb\nc\td\te\n", "line 2: 3 columns;")]
    public void What_is_wrong_is_named_with_its_line(string text, params string[] words)
    {
        using var file = new DataSetText(text, "data.tsv");
        file.AssertRefused(DataSetFormat.TwoColumns, words);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused_with_their_line()
    {
        using var file = new DataSetText([.. "a\tb\na\t"u8, 0xFF], "data.tsv");
        file.AssertRefused(DataSetFormat.TwoColumns, "line 2", "UTF-8");
    }
}
