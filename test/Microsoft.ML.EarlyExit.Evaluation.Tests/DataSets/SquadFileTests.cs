using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class SquadFileTests
{
    private const string Valid = """
        {"data": [
          {"title": "Rivers", "paragraphs": [
            {"context": "The Elbe is long.\nIt ends in the sea.", "qas": [
              {"id": "a", "question": "What is long?", "answers": [{"answer_start": 4, "text": "Elbe"}, {"answer_start": 0, "text": "The Elbe"}]},
              {"id": "b", "question": "Where does it end?", "answers": [{"answer_start": 30, "text": "the sea"}]}]},
            {"qas": [{"answers": [{"text": "Pra\u0067ue"}], "question": "Which \u00fc?", "id": "c"}], "context": "Prague."}]}],
         "version": "1.1"}
        """;

    [Fact]
    public void Questions_come_in_order_with_their_context_and_all_answers()
    {
        using var file = new DataSetText(Valid);
        DataSetExample[] examples = file.Read(DataSetFormat.Squad);

        Assert.Equal(["a", "b", "c"], examples.Select(example => example.Id));
        Assert.Equal("question: What is long? context: The Elbe is long.\nIt ends in the sea.", examples[0].Text);
        Assert.Equal(["Elbe", "The Elbe"], examples[0].References);
        Assert.Equal(("question: Which ü? context: Prague.", "Prague"), (examples[2].Text, Assert.Single(examples[2].References)));
        Assert.All(examples, example => Assert.True(example.AreAnswers));
    }

    [Theory]
    [InlineData("\"Rivers\"", "5")]
    [InlineData("\"version\": \"1.1\"", "\"version\": \"v1.1\"")]
    [InlineData(",\n \"version\": \"1.1\"", "")]
    [InlineData("{\"data\"", "\uFEFF{\"data\"")]
    [InlineData("\"title\":", "\"more\": {\"id\": [1, {}]}, \"title\":")]
    public void What_does_not_matter_is_passed_over(string old, string replacement)
    {
        using var plain = new DataSetText(Valid);
        using var file = new DataSetText(Replace(old, replacement));
        Assert.Equal(plain.Read(DataSetFormat.Squad).Select(example => example.Text), file.Read(DataSetFormat.Squad).Select(example => example.Text));
    }

    [Theory]
    [InlineData("\"version\": \"1.1\"", "\"version\": \"v2.0\"", "line 7: version is \"v2.0\"", "SQuAD v1.1")]
    [InlineData("\"version\": \"1.1\"", "\"version\": \"2.0\"", "line 7: version is \"2.0\"", "SQuAD v1.1")]
    [InlineData("\"version\": \"1.1\"", "\"version\": 1.1", "line 7: version is 1.1", "string")]
    [InlineData("\"id\": \"b\",", "\"id\": \"b\", \"is_impossible\": false,", "line 5: data[0].paragraphs[0].qas[1].is_impossible", "v2.0", "v1.1")]
    [InlineData("\"id\": \"b\",", "\"id\": \"b\", \"plausible_answers\": [],", "plausible_answers", "v2.0")]
    [InlineData("[{\"answer_start\": 30, \"text\": \"the sea\"}]", "[]", "line 5: data[0].paragraphs[0].qas[1].answers is empty")]
    [InlineData("\"answers\": [{\"text\": \"Pra\\u0067ue\"}], ", "", "line 6: data[0].paragraphs[1].qas[0].answers is missing")]
    [InlineData("\"text\": \"the sea\"", "\"text\": 3", "line 5: data[0].paragraphs[0].qas[1].answers[0].text is 3", "string")]
    [InlineData("\"text\": \"the sea\"", "\"words\": \"the sea\"", "line 5: data[0].paragraphs[0].qas[1].answers[0].text is missing")]
    [InlineData("\"question\": \"What is long?\"", "\"question\": null", "line 4: data[0].paragraphs[0].qas[0].question is null")]
    [InlineData("\"question\": \"What is long?\", ", "", "line 4: data[0].paragraphs[0].qas[0].question is missing")]
    [InlineData("\"context\": \"Prague.\"", "\"text\": \"Prague.\"", "line 6: data[0].paragraphs[1].context is missing")]
    [InlineData("\"paragraphs\"", "\"chapters\"", "data[0].paragraphs is missing")]
    [InlineData("{\"data\"", "{\"date\"", "data is missing")]
    [InlineData("\"id\": \"b\"", "\"id\": \"a\"", "line 5: data[0].paragraphs[0].qas[1].id is 'a'", "line 4")]
    [InlineData("\"id\": \"b\"", "\"id\": \"b\", \"id\": \"bb\"", "line 5: data[0].paragraphs[0].qas[1].id occurs twice")]
    [InlineData("\"id\": \"b\", ", "", "line 5: data[0].paragraphs[0].qas[1].id is missing")]
    [InlineData("\"Elbe\"", "\"\\ud800\"", "line 4: data[0].paragraphs[0].qas[0].answers[0].text", "surrogate")]
    [InlineData("\"qas\": [\n", "\"qas\": {\n", "line 3: data[0].paragraphs[0].qas is an object", "array")]
    [InlineData("\"Where does it end?\", ", "\"Where does it end?\" ", "line 5, byte", "not valid JSON", "data[0].paragraphs[0].qas[1].question")]
    [InlineData("\"1.1\"}", "\"1.1\"} {}", "line 7", "not valid JSON")]
    [InlineData("\"1.1\"}", "\"1.1\"", "line 7", "not valid JSON")]
    public void What_is_wrong_is_named_with_line_path_and_field(string old, string replacement, params string[] words)
    {
        using var file = new DataSetText(Replace(old, replacement));
        file.AssertRefused(DataSetFormat.Squad, words);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData(" \n ", "empty")]
    [InlineData("[]", "the whole is an array", "object")]
    [InlineData("{\"data\": []}", "no examples")]
    [InlineData("{\"data\": [{\"paragraphs\": []}], \"version\": \"1.1\"}", "no examples")]
    [InlineData("{\"data\": {}}", "data is an object", "array")]
    [InlineData("{\"data\": [3]}", "data[0] is 3", "object")]
    public void Files_without_examples_are_refused(string text, params string[] words)
    {
        using var file = new DataSetText(text);
        file.AssertRefused(DataSetFormat.Squad, words);
    }

    [Fact]
    public void Examples_before_the_damage_are_read()
    {
        using var file = new DataSetText(Replace("\"context\": \"Prague.\"", "\"context\": 7"));
        using IEnumerator<DataSetExample> examples = DataSetFile.Read(file.Path, DataSetFormat.Squad).GetEnumerator();
        Assert.True(examples.MoveNext());
        Assert.True(examples.MoveNext());
        Assert.Equal("b", examples.Current.Id);
        Assert.Throws<InvalidDataException>(() => examples.MoveNext());
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused_with_their_place()
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(Valid);
        bytes[Valid.IndexOf("Elbe\"}", StringComparison.Ordinal)] = 0xC3;
        using var file = new DataSetText(bytes);
        file.AssertRefused(DataSetFormat.Squad, "line 4: data[0].paragraphs[0].qas[0].answers[0].text", "UTF-8");
    }

    [Fact]
    public void Nesting_without_end_is_refused()
    {
        using var file = new DataSetText($$"""{"data": {{new string('[', 100_000)}}""");
        file.AssertRefused(DataSetFormat.Squad, "line 1");
    }

    [Fact]
    public void A_value_of_absurd_length_is_refused_with_its_place()
    {
        using var file = new DataSetText($$"""{"data": [{"paragraphs": [{{"\n"}}{"context": "{{new string('a', JsonTokenReader.LongestToken + 10)}}"}]}]}""");
        file.AssertRefused(DataSetFormat.Squad, "line 2: after data[0].paragraphs[0].context", $"{JsonTokenReader.LongestToken} bytes");
    }

    [Fact]
    public void Values_longer_than_any_buffer_are_read()
    {
        string context = string.Concat(Enumerable.Repeat("ü\\n ", 50_000));
        using var file = new DataSetText(Replace("Prague.", context));
        Assert.Equal($"question: Which ü? context: {context.Replace("\\n", "\n")}", file.Read(DataSetFormat.Squad)[2].Text);
    }

    private static string Replace(string old, string replacement)
    {
        Assert.Contains(old, Valid, StringComparison.Ordinal);
        return Valid.Replace(old, replacement, StringComparison.Ordinal);
    }
}
