using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class DataSetFileTests
{
    private static readonly string s_shared = Path.Combine(Repository.Folder, "..", "shared", "data");

    [Theory]
    [InlineData("a.json", """{"version": "1.1", "data": []}""", nameof(DataSetFormat.Squad))]
    [InlineData("a.json", """{"title": {"text": 1}, "data": []}""", nameof(DataSetFormat.Squad))]
    [InlineData("a.json", "\uFEFF\n [{\"id\": \"1\"}]", nameof(DataSetFormat.SamSum))]
    [InlineData("a.csv", "mr,ref\r\na,b", nameof(DataSetFormat.E2E))]
    [InlineData("a", "\"mr\",\"ref\"\na,b", nameof(DataSetFormat.E2E))]
    [InlineData("a.txt", """{"id": 1, "answers": ["a"], "text": "b"}""", nameof(DataSetFormat.Rows))]
    [InlineData("a.JSONL", "what ever", nameof(DataSetFormat.Rows))]
    [InlineData("a.tsv", "[a]\tb", nameof(DataSetFormat.TwoColumns))]
    [InlineData("a.txt", "a\tb\nc\td", nameof(DataSetFormat.TwoColumns))]
    public void The_form_is_told_by_name_and_beginning(string name, string text, string format)
    {
        using var file = new DataSetText(text, name);
        Assert.Equal(format, DataSetFile.Detect(file.Path).ToString());
    }

    [Theory]
    [InlineData("a.json", "", "empty")]
    [InlineData("a.json", "{}", "'{}'", "SQuAD")]
    [InlineData("a.json", "{\"articles\": []}", "articles", "SQuAD", "SamSum", "mr,ref", "tab")]
    [InlineData("a.csv", "a,b\n", "'a,b'", "mr,ref")]
    [InlineData("a.txt", "just words\n", "'just words'")]
    [InlineData("a.txt", "a\tb\tc\n", "'a\tb\tc'")]
    public void What_is_none_of_the_known_forms_is_refused_with_their_names(string name, string text, params string[] words)
    {
        using var file = new DataSetText(text, name);
        string message = Assert.Throws<InvalidDataException>(() => DataSetFile.Detect(file.Path)).Message;
        Assert.All(words.Prepend(file.Path), word => Assert.Contains(word, message, StringComparison.Ordinal));
    }

    [Fact]
    public void Missing_files_and_folders_are_named()
    {
        var context = new MLContext();
        string folder = Path.GetTempPath();
        string missing = Path.Combine(folder, $"{Guid.NewGuid():N}.json");
        foreach (Action<string> read in (Action<string>[])
            [
                path => DataSetFile.Detect(path), path => DataSetFile.Read(path, DataSetFormat.Rows).First(), path => context.Data.LoadFromSquadFile(path),
                path => context.Data.LoadFromSamSumFile(path), path => context.Data.LoadFromE2EFile(path),
            ])
        {
            Assert.Contains(missing, Assert.Throws<FileNotFoundException>(() => read(missing)).Message, StringComparison.Ordinal);
            Assert.Contains(folder, Assert.Throws<IOException>(() => read(folder)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Squad_is_a_data_view()
    {
        using var file = new DataSetText("""
            {"data": [{"paragraphs": [{"context": "C", "qas": [{"id": "a", "question": "Q", "answers": [{"text": "x"}, {"text": "y"}]}]}]}], "version": "1.1"}
            """);
        IDataView data = new MLContext().Data.LoadFromSquadFile(file.Path);

        Assert.Equal(["Id", "Text", "Question", "Context", "Answers"], data.Schema.Select(column => column.Name));
        Assert.All(data.Schema.Take(4), column => Assert.Equal(TextDataViewType.Instance, column.Type));
        Assert.Equal(TextDataViewType.Instance, Assert.IsType<VectorDataViewType>(data.Schema["Answers"].Type).ItemType);

        // A second reading reads the file again.
        for (int time = 0; time < 2; time++)
        {
            Assert.Equal(["question: Q context: C"], data.GetColumn<string>("Text"));
            Assert.Equal([["x", "y"]], data.GetColumn<string[]>("Answers"));
        }

        Assert.Equal(
            ("a", "Q", "C"),
            (data.GetColumn<string>("Id").Single(), data.GetColumn<string>("Question").Single(), data.GetColumn<string>("Context").Single()));
    }

    [Fact]
    public void SamSum_and_e2e_are_data_views()
    {
        var context = new MLContext();
        using var dialogues = new DataSetText("""[{"id": "1", "dialogue": "d", "summary": "s"}]""");
        IDataView samSum = context.Data.LoadFromSamSumFile(dialogues.Path);
        Assert.Equal(["Id", "Dialogue", "Summary"], samSum.Schema.Select(column => column.Name));
        Assert.Equal(("d", "s"), (samSum.GetColumn<string>("Dialogue").Single(), samSum.GetColumn<string>("Summary").Single()));

        using var meanings = new DataSetText("mr,ref\na,b\na,c\n", "data.csv");
        IDataView e2e = context.Data.LoadFromE2EFile(meanings.Path);
        Assert.Equal(["MeaningRepresentation", "References"], e2e.Schema.Select(column => column.Name));
        Assert.Equal("a", e2e.GetColumn<string>("MeaningRepresentation").Single());
        Assert.Equal(["b", "c"], e2e.GetColumn<string[]>("References").Single());
    }

    [Fact]
    public void A_damaged_file_throws_where_its_row_is_read()
    {
        using var file = new DataSetText("""[{"id": "1", "dialogue": "d", "summary": "s"}, {"id": "2", "dialogue": "d"}]""");
        IDataView data = new MLContext().Data.LoadFromSamSumFile(file.Path);
        using DataViewRowCursor cursor = data.GetRowCursor(data.Schema);
        Assert.True(cursor.MoveNext());
        Assert.Contains("[1].summary is missing", Assert.Throws<InvalidDataException>(() => cursor.MoveNext()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_sets_can_be_read_on_several_threads()
    {
        using var file = new DataSetText(
            string.Concat(Enumerable.Range(0, 200).Select(row => $$"""{"id": {{row}}, "text": "t{{row}}", "reference": "r"}{{"\n"}}""")), "rows.jsonl");
        IEnumerable<DataSetExample> examples = DataSetFile.Read(file.Path, DataSetFormat.Rows);
        Parallel.For(0, 8, _ => Assert.Equal(Enumerable.Range(0, 200).Select(row => $"t{row}"), examples.Select(example => example.Text)));
    }

    [Theory]
    [InlineData("squad/dev-v1.1.json", nameof(DataSetFormat.Squad), 10570, 34726)]
    [InlineData("samsum/test.json", nameof(DataSetFormat.SamSum), 819, 819)]
    [InlineData("samsum/val.json", nameof(DataSetFormat.SamSum), 818, 818)]
    [InlineData("e2e-nlg/devset.csv", nameof(DataSetFormat.E2E), 547, 4672)]
    [InlineData("e2e-nlg/testset_w_refs.csv", nameof(DataSetFormat.E2E), 630, 4693)]
    [InlineData("demo/question-test.jsonl", nameof(DataSetFormat.Rows), null, null)]
    [InlineData("demo/describe-calibration.jsonl", nameof(DataSetFormat.Rows), null, null)]
    public void Published_data_sets_have_as_many_examples_as_is_known(string name, string format, int? count, int? references)
    {
        string path = Path.Combine(s_shared, name);
        if (!File.Exists(path))
            Assert.Skip($"'{path}' is not on this machine.");
        Assert.Equal(format, DataSetFile.Detect(path).ToString());
        DataSetExample[] examples = [.. DataSetFile.Read(path, DataSetFile.Detect(path))];
        Assert.Equal(count ?? File.ReadLines(path).Count(), examples.Length);
        if (references is not null)
            Assert.Equal(references, examples.Sum(example => example.References.Count));
        Assert.Equal(examples.Length, examples.Select(example => example.Id).Distinct().Count());
        Assert.Equal(name.Contains("squad", StringComparison.Ordinal) || name.Contains("question", StringComparison.Ordinal), examples[0].AreAnswers);
    }
}
