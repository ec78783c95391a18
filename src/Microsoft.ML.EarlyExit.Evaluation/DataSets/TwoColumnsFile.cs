using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>
/// Reads lines of a text, a tab, and a reference. There is no header, unless the first line is exactly <c>text</c>, a tab, and <c>reference</c>; no quoting, so
/// that neither can hold a tab or a line's end; empty lines are none.
/// </summary>
internal static class TwoColumnsFile
{
    private const string Header = "text\treference";

    /// <summary>The examples of a file, in its order, one in memory at a time.</summary>
    internal static IEnumerable<DataSetExample> Read(string path)
    {
        using FileStream stream = InputFile.Open(path);
        var lines = new LineReader(stream);
        long count = 0;
        while (lines.TryRead(out byte[]? line))
        {
            if (line is null)
                throw Fail($"the line has more than {LineReader.LongestLine} bytes.");
            if (line.Length == 0)
                continue;
            if (!Utf8.IsValid(line))
                throw Fail("it is not valid UTF-8.");
            string text = Encoding.UTF8.GetString(line);
            if (lines.Number == 1 && text == Header)
                continue;
            string[] columns = text.Split('\t');
            if (columns.Length != 2)
                throw Fail($"{columns.Length} {(columns.Length == 1 ? "column" : "columns")}; there must be two, a text and a reference, with a tab between.");
            yield return new DataSetExample((++count).ToString(CultureInfo.InvariantCulture), columns[0], [columns[1]], AreAnswers: false);
        }

        if (count == 0)
            throw new InvalidDataException($"{path} has no examples.");

        InvalidDataException Fail(string message) => new($"{path}, line {lines.Number}: {message}");
    }
}
