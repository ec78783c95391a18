using System.Text;
using FsCheck;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class E2EFileTests
{
    [Fact]
    public void Rows_of_one_meaning_are_one_example_wherever_they_stand()
    {
        using var file = new DataSetText(
            "mr,ref\r\n\"name[A], area[x]\",\"One, two\"\r\nname[B],Three\nname[B],\"a \"\"b\"\"\r\nc\"\n\n\"name[A], area[x]\",\n", "dev.csv");
        DataSetExample[] examples = file.Read(DataSetFormat.E2E);

        Assert.Equal([("1", "name[A], area[x]", false), ("2", "name[B]", false)], examples.Select(example => (example.Id, example.Text, example.AreAnswers)));
        Assert.Equal(["One, two", ""], examples[0].References);
        Assert.Equal(["Three", "a \"b\"\r\nc"], examples[1].References);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("mr,ref\n", "no examples")]
    [InlineData("mr\nx\n", "line 1: 1 column", "2")]
    [InlineData("a,b\nx,y\n", "line 1", "'a,b'", "mr,ref")]
    [InlineData("mr,ref\na,b\n\nc\n", "line 4: 1 column;", "2")]
    [InlineData("mr,ref\na,\"b\nc\"\na,b,c\n", "line 4: 3 columns", "2")]
    [InlineData("mr,ref\na,b\nc,\"d\ne\n", "line 3", "column 2", "never closed")]
    [InlineData("mr,ref\na,b\"c\n", "line 2", "column 2", "quote")]
    [InlineData("mr,ref\na,\"b\nc\"d\n", "line 3", "column 2", "closing quote")]
    [InlineData("mr,ref\ra,b", "line 1", "carriage return")]
    public void What_is_wrong_is_named_with_its_line(string text, params string[] words)
    {
        using var file = new DataSetText(text, "dev.csv");
        file.AssertRefused(DataSetFormat.E2E, words);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused_with_their_line()
    {
        using var file = new DataSetText([.. "mr,ref\na,"u8, 0xFF, .. "\n"u8], "dev.csv");
        file.AssertRefused(DataSetFormat.E2E, "line 2", "column 2", "UTF-8");
    }

    [Fact]
    public void A_quote_left_open_does_not_take_in_the_whole_file()
    {
        using var file = new DataSetText($"mr,ref\na,\"{new string('b', CsvReader.LongestRecord)}\n", "dev.csv");
        file.AssertRefused(DataSetFormat.E2E, "line 2", "quote");
    }

    [Property]
    public void Any_fields_survive_being_written_as_csv(NonEmptyArray<NonEmptyArray<NonNull<string>>> rows, bool quotesAll, bool hasCarriageReturns)
    {
        string[][] records =
        [
            .. rows.Get.Select(row => row.Get.Select(field => new string([.. field.Get.Where(character => !char.IsSurrogate(character))])).ToArray())
                .Where(row => row.Length > 1 || row[0].Length > 0),
        ];
        string end = hasCarriageReturns ? "\r\n" : "\n";
        string text = string.Concat(records.Select(row => string.Join(',', row.Select(Quote)) + end));
        var reader = new CsvReader(new MemoryStream(Encoding.UTF8.GetBytes(text)), "csv");
        long line = 1;
        foreach (string[] record in records)
        {
            Assert.Equal(record, reader.Read());
            Assert.Equal(line, reader.Line);
            line += 1 + record.Sum(field => field.Count(character => character == '\n'));
        }

        Assert.Null(reader.Read());

        string Quote(string field) =>
            quotesAll || field.AsSpan().ContainsAny(",\"\r\n") ? $"\"{field.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : field;
    }
}
