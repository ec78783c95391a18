using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>Strings of JSON. An escape of half a surrogate pair, which is valid JSON but no text, counts as U+FFFD.</summary>
internal static partial class JsonText
{
    /// <summary>Reads the name or string that a reader stands at.</summary>
    public static string Read(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            return Repair(Encoding.UTF8.GetString(reader.ValueSpan));
        }
    }

    /// <summary>Reads a string.</summary>
    public static string Read(JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            return Repair(value.GetRawText()[1..^1]);
        }
    }

    /// <summary>The text, cut for a message.</summary>
    public static string Shorten(string text) => text.Length <= 60 ? text : $"{text.AsSpan(0, 60)}…";

    private static string Repair(string escaped)
    {
        string repaired = Escapes().Replace(escaped, match => match.Groups["half"].Success ? "\\ufffd" : match.Value);
        return JsonDocument.Parse($"\"{repaired}\"").RootElement.GetString()!;
    }

    [GeneratedRegex(@"\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", RegexOptions.CultureInvariant)]
    private static partial Regex Escapes();
}
