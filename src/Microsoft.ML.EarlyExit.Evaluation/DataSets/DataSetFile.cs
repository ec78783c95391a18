using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>Reads data sets, one example after the other.</summary>
internal static class DataSetFile
{
    private const string Known =
        "known are SQuAD v1.1 (JSON), SamSum (JSON), the E2E NLG challenge (CSV with the columns mr,ref), rows (a JSON object per line with text and "
        + "reference, references or answers), and two columns with a tab between (text and reference)";

    /// <summary>The form of a file by its name and beginning.</summary>
    /// <remarks>The extensions <c>.jsonl</c>, <c>.ndjson</c>, <c>.tsv</c> and <c>.tab</c> decide; otherwise the first line does.</remarks>
    /// <exception cref="InvalidDataException">It is none of those known; the message names them.</exception>
    /// <exception cref="IOException">There is no such file, or it is a folder.</exception>
    public static DataSetFormat Detect(string path)
    {
        using FileStream stream = InputFile.Open(path);
        switch (Path.GetExtension(path).ToLowerInvariant())
        {
            case ".jsonl" or ".ndjson":
                return DataSetFormat.Rows;
            case ".tsv" or ".tab":
                return DataSetFormat.TwoColumns;
        }

        byte[] buffer = new byte[1 << 16];
        ReadOnlySpan<byte> beginning = buffer.AsSpan(0, stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false));
        if (beginning.StartsWith(Encoding.UTF8.Preamble))
            beginning = beginning[Encoding.UTF8.Preamble.Length..];
        beginning = beginning.TrimStart(" \t\r\n"u8);
        if (beginning.IsEmpty)
            throw new InvalidDataException($"{path} is empty.");
        int end = beginning.IndexOf((byte)'\n');
        ReadOnlySpan<byte> line = (end < 0 ? beginning : beginning[..end]).TrimEnd((byte)'\r');
        string first = Encoding.UTF8.GetString(line);
        if (beginning[0] == '[')
            return DataSetFormat.SamSum;
        if (beginning[0] == '{' && DetectObject(stream, path) is { } format)
            return format;
        if (first.Replace("\"", "", StringComparison.Ordinal) == "mr,ref")
            return DataSetFormat.E2E;
        if (beginning[0] != '{' && first.Count(character => character == '\t') == 1)
            return DataSetFormat.TwoColumns;
        throw new InvalidDataException(
            $"{path}, line 1: the file begins with '{JsonTokenReader.Shorten(first)}', as no data set of a known form does; {Known}.");
    }

    /// <summary>The examples of a file.</summary>
    /// <remarks>The file is read while the examples are taken, so what is wrong with it shows at the example that has it.</remarks>
    /// <exception cref="InvalidDataException">The file is not of that form; the message names the file, the line or path, and the field.</exception>
    /// <exception cref="IOException">There is no such file, or it is a folder.</exception>
    public static IEnumerable<DataSetExample> Read(string path, DataSetFormat format) => format switch
    {
        DataSetFormat.Squad => SquadFile.Read(path).Select(question => new DataSetExample(question.Id, question.Text, question.Answers, AreAnswers: true)),
        DataSetFormat.SamSum => SamSumFile.Read(path).Select(dialogue =>
            new DataSetExample(dialogue.Id, dialogue.Dialogue, [dialogue.Summary], AreAnswers: false)),
        DataSetFormat.E2E => E2EFile.Read(path).Select((meaning, index) =>
            new DataSetExample((index + 1).ToString(CultureInfo.InvariantCulture), meaning.MeaningRepresentation, meaning.References, AreAnswers: false)),
        DataSetFormat.Rows => RowsFile.Read(path),
        DataSetFormat.TwoColumns => TwoColumnsFile.Read(path),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "There is no such form of a data set."),
    };

    /// <summary>SQuAD's object or a row's, told apart by the names of its fields; null where none is known.</summary>
    private static DataSetFormat? DetectObject(FileStream stream, string path)
    {
        stream.Position = 0;
        var json = new JsonTokenReader(stream, path);
        json.Read();
        while (json.TryReadName(out string? name))
        {
            if (name is "data" or "version")
                return DataSetFormat.Squad;
            if (name is "text" or "reference" or "references" or "answers")
                return DataSetFormat.Rows;
            json.Skip();
        }

        return null;
    }
}
