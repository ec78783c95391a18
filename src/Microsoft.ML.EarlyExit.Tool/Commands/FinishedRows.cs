using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The rows that an interrupted run left in <c>OUTPUT.partial</c>.</summary>
internal static class FinishedRows
{
    /// <summary>Compares them with the first rows of the input, which count as done; one of which only a part was written does not.</summary>
    /// <param name="outputPath">The file that the run was to write.</param>
    /// <param name="inputName">The input's name for messages.</param>
    /// <param name="input">The input; stands behind the rows that are done afterwards.</param>
    /// <param name="resultField">The field that such a row has, unless it is an error.</param>
    /// <param name="outcome">Gets how they went.</param>
    /// <returns>Bytes of the file that they fill; 0 where there is none.</returns>
    /// <exception cref="InvalidDataException">They are not of this input.</exception>
    public static long Skip(string outputPath, string inputName, GenerationRowReader input, string resultField, RowOutcome outcome)
    {
        string path = PartialFile.PathOf(outputPath);
        if (!File.Exists(path))
            return 0;
        using FileStream stream = InputFile.Open(path);
        long length = EndOfLastLine(stream);
        stream.Position = 0;
        var lines = new LineReader(stream);
        while (lines.Position < length && lines.TryRead(out byte[]? line))
        {
            (string id, string? error) = Parse(line, resultField)
                ?? throw new InvalidDataException($"Line {lines.Number} of '{path}' is no row of this command. Leave {ResumeOption.Name} out to start over.");
            if (!input.TryRead(out GenerationRow row))
                throw new InvalidDataException($"'{path}' has more rows than {inputName}, which has {outcome.Rows}. {Advice}");
            if (id != Encoding.UTF8.GetString(row.Id.Span))
            {
                throw new InvalidDataException(
                    $"Line {lines.Number} of '{path}' has the id {JsonText.Shorten(id)}, but line {row.LineNumber} of {inputName} has "
                    + $"{JsonText.Shorten(Encoding.UTF8.GetString(row.Id.Span))}. {Advice}");
            }

            outcome.Add(error);
        }

        return length;
    }

    private static string Advice => $"Give the input and the output of the interrupted run, or leave {ResumeOption.Name} out to start over.";

    /// <summary>The id of a row as raw JSON, and its error; null where it is none.</summary>
    private static (string Id, string? Error)? Parse(byte[]? line, string resultField)
    {
        if (line is null)
            return null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonElement row = document.RootElement;
            if (row.ValueKind != JsonValueKind.Object || !row.TryGetProperty("id", out JsonElement id))
                return null;
            if (row.TryGetProperty("error", out JsonElement error) && error.ValueKind == JsonValueKind.String)
                return (id.GetRawText(), JsonText.Read(error));
            return row.TryGetProperty(resultField, out _) ? (id.GetRawText(), null) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static long EndOfLastLine(FileStream stream)
    {
        byte[] buffer = new byte[1 << 16];
        for (long end = stream.Length; end > 0;)
        {
            int count = (int)Math.Min(buffer.Length, end);
            stream.Position = end -= count;
            stream.ReadExactly(buffer, 0, count);
            int newline = buffer.AsSpan(0, count).LastIndexOf((byte)'\n');
            if (newline >= 0)
                return end + newline + 1;
        }

        return 0;
    }
}
