using System.Text.Json;
using System.Text.Unicode;

namespace Microsoft.ML.EarlyExit.Evaluation.Json;

/// <summary>What is wrong with a JSON text, in words for whoever wrote it: System.Text.Json speaks to those who call it.</summary>
internal static class JsonProblem
{
    /// <summary>What System.Text.Json says, by a part of it, and what that means to a reader of the file.</summary>
    private static readonly (string Part, string Meaning)[] s_meanings =
    [
        ("trailing comma", "a comma stands before a closing bracket; remove it"),
        ("maximum configured depth", "its objects and arrays are nested too deeply"),
        ("does not contain any JSON tokens", "it is empty"),
        ("depth to be zero", "it ends before all that was opened is closed"),
        ("end of the JSON payload", "it ends before all that was opened is closed"),
        ("reached end of data", "it ends before all that was opened is closed"),
        ("after a single JSON value", "something follows after its end"),
    ];

    /// <summary>What is wrong and, where that is known, the line and the byte in it, both counted from 1: a clause without a full stop.</summary>
    public static string DescribeWithPlace(Exception exception) => exception is JsonException { LineNumber: { } line, BytePositionInLine: { } at }
        ? $"{Describe(exception)} (line {line + 1}, byte {at + 1})"
        : Describe(exception);

    /// <summary>What is wrong: a clause without a full stop.</summary>
    /// <param name="exception">What System.Text.Json threw; of other kinds than its own only for strings that are no text.</param>
    public static string Describe(Exception exception)
    {
        if (exception is not JsonException json)
            return "a string in it is not valid Unicode";
        string message = json.Message;

        // The end is where its own places begin, which count from 0.
        foreach (string place in (string[])[" Path: $", " LineNumber: "])
        {
            if (message.LastIndexOf(place, StringComparison.Ordinal) is >= 0 and var end)
                message = message[..end];
        }

        string path = json.Path is { Length: > 2 } found ? found[(found[1] == '.' ? 2 : 1)..] : "it";
        if (message.Contains("could not be converted", StringComparison.Ordinal))
            return $"{path} is of another kind than it must be, or no possible value";
        if (message.Contains("null values", StringComparison.Ordinal))
            return $"{path} is null";
        if (message.Contains("missing required properties", StringComparison.Ordinal))
            return $"{path} lacks {message[(message.LastIndexOf(':') + 1)..].Trim(' ', '.')}";
        return s_meanings.FirstOrDefault(known => message.Contains(known.Part, StringComparison.Ordinal)).Meaning ?? message.TrimEnd('.');
    }

    /// <summary>The first line, from 1, that is not valid UTF-8; null where all are. System.Text.Json notices only when the text is asked for.</summary>
    public static long? FindLineOfInvalidUtf8(ReadOnlySpan<byte> text)
    {
        if (Utf8.IsValid(text))
            return null;
        long line = 1;

        // No part of a longer character is a line's end.
        foreach (Range range in text.Split((byte)'\n'))
        {
            if (!Utf8.IsValid(text[range]))
                break;
            line++;
        }

        return line;
    }
}
