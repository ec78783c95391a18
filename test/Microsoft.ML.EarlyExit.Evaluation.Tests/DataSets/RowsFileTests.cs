using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class RowsFileTests
{
    [Fact]
    public void Rows_have_references_or_answers_and_ids_of_their_own_or_numbers()
    {
        using var file = new DataSetText(
            """
            {"id": "a", "text": "t", "reference": "r"}

            {"text": "u", "references": ["r", "s"], "extra": {"text": 1}}
            {"answers": ["w"], "text": "v", "id": 7.5}
            {"id": null, "text": "x", "answers": ["y"]}
            {"text": "z", "answers": {"answer_start": [1, 4], "text": ["a", "b"]}}
            """,
            "rows.jsonl");
        DataSetExample[] examples = file.Read(DataSetFormat.Rows);

        Assert.Equal(
            [("a", "t", false), ("2", "u", false), ("7.5", "v", true), ("4", "x", true), ("5", "z", true)],
            examples.Select(one => (one.Id, one.Text, one.AreAnswers)));
        Assert.Equal([["r"], ["r", "s"], ["w"], ["y"], ["a", "b"]], examples.Select(one => one.References));
    }

    [Theory]
    [InlineData("""{"text": "t"}""", "line 2", "neither reference nor references nor answers")]
    [InlineData("""{"reference": "r"}""", "line 2: text is missing")]
    [InlineData("""{"text": "t", "reference": "r", "answers": ["a"]}""", "line 2", "both reference and answers")]
    [InlineData("""{"text": "t", "references": []}""", "line 2: references is empty")]
    [InlineData("""{"text": "t", "references": "r"}""", "line 2: references is \"r\"", "array")]
    [InlineData("""{"text": "t", "answers": ["a", 3]}""", "line 2: answers[1] is 3", "string")]
    [InlineData("""{"text": "t", "answers": {"answer_start": [1]}}""", "line 2: answers.text is missing")]
    [InlineData("""{"text": "t", "answers": {"text": []}}""", "line 2: answers.text is empty")]
    [InlineData("""{"text": "t", "answers": {"text": "a"}}""", "line 2: answers.text is \"a\"", "array")]
    [InlineData("""{"text": "t", "answers": "a"}""", "line 2: answers is \"a\"", "array")]
    [InlineData("""{"text": 5, "reference": "r"}""", "line 2: text is 5", "string")]
    [InlineData("""{"text": "t", "text": "t", "reference": "r"}""", "line 2: text occurs twice")]
    [InlineData("""{"id": "a", "text": "t", "reference": "r"}""", "line 2: id is 'a'", "line 1")]
    [InlineData("""{"id": [], "text": "t", "reference": "r"}""", "line 2: id is an array")]
    [InlineData("""["text"]""", "line 2", "object")]
    [InlineData("""{"text": "t", "reference": "r"} 5""", "line 2, byte", "not valid JSON")]
    [InlineData("""{"text": "t", "reference": "r" """, "line 2", "not valid JSON")]
    public void What_is_wrong_with_a_row_is_named_with_its_line(string second, params string[] words)
    {
        using var file = new DataSetText("""{"id": "a", "text": "t", "reference": "r"}""" + $"\n{second}\n", "rows.jsonl");
        file.AssertRefused(DataSetFormat.Rows, words);
    }

    [Fact]
    public void A_line_of_absurd_length_is_refused()
    {
        using var file = new DataSetText($$"""{"text": "{{new string('a', LineReader.LongestLine)}}", "reference": "r"}""", "rows.jsonl");
        file.AssertRefused(DataSetFormat.Rows, "line 1", $"{LineReader.LongestLine} bytes");
    }

    [Fact]
    public void A_file_of_blank_lines_has_no_examples()
    {
        using var file = new DataSetText("\n \n", "rows.jsonl");
        file.AssertRefused(DataSetFormat.Rows, "no examples");
    }
}
