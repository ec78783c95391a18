using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>
/// Reads rows: a JSON object per line with <c>text</c>, one of <c>reference</c>, <c>references</c> and <c>answers</c>, and perhaps an <c>id</c>. Answers are an
/// array of texts, or an object whose <c>text</c> is one. Blank lines are none; fields it does not know are passed over.
/// </summary>
internal static class RowsFile
{
    /// <summary>The examples of a file, in its order, one in memory at a time.</summary>
    internal static IEnumerable<DataSetExample> Read(string path)
    {
        using FileStream stream = InputFile.Open(path);
        var lines = new LineReader(stream);
        var ids = new UniqueIds();
        for (long count = 0; lines.TryRead(out byte[]? line);)
        {
            if (line is null)
                throw new InvalidDataException($"{path}, line {lines.Number}: the line has more than {LineReader.LongestLine} bytes.");
            if (line.AsSpan().IndexOfAnyExcept(" \t\r"u8) >= 0)
                yield return ReadRow(new JsonTokenReader(line, path, lines.Number), ++count, ids);
        }

        ids.RequireAny(path);
    }

    private static DataSetExample ReadRow(JsonTokenReader json, long number, UniqueIds ids)
    {
        json.Read();
        json.Require(JsonTokenType.StartObject);
        string? id = null;
        string? text = null;
        string? referencesName = null;
        string[]? references = null;
        while (json.TryReadName(out string? name))
        {
            switch (name)
            {
                case "id":
                    id = ReadId(json);
                    break;
                case "text":
                    text = json.ReadString();
                    break;
                case "reference" or "references" or "answers":
                    if (referencesName is not null)
                        throw json.Fail($"it has both {referencesName} and {name}; give one of them.");
                    referencesName = name;
                    references = name switch
                    {
                        "reference" => [json.ReadString()],
                        "answers" => ReadAnswers(json),
                        _ => json.ReadStrings(),
                    };
                    break;
                default:
                    json.Skip();
                    break;
            }
        }

        if (references is null)
            throw json.Fail("it has neither reference nor references nor answers; give one of them.");
        json.Required(text, "text");
        json.ReadEnd();
        if (id is null)
            ids.Add(id = number.ToString(CultureInfo.InvariantCulture), json);
        return new DataSetExample(id, text!, references, referencesName == "answers");

        // An array of texts, or as data sets have it: {"text": ["…"], "answer_start": [1]}.
        static string[] ReadAnswers(JsonTokenReader json)
        {
            json.Read();
            if (json.Type != JsonTokenType.StartObject)
                return json.ReadItems();
            string[]? texts = null;
            while (json.TryReadName(out string? name))
            {
                if (name == "text")
                    texts = json.ReadStrings();
                else
                    json.Skip();
            }

            return json.Required(texts, "text");
        }

        string? ReadId(JsonTokenReader json)
        {
            json.Read();
            if (json.Type == JsonTokenType.Null)
                return null;
            if (json.Type is JsonTokenType.StartObject or JsonTokenType.StartArray)
                throw json.Refuse("it must be a string or a number");
            ids.Add(json.Text, json);
            return json.Text;
        }
    }
}
