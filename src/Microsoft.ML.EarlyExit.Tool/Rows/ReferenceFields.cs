using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>The references of a row: <c>reference</c>, <c>references</c> or <c>answers</c>, an array of texts or an object whose <c>text</c> is one.</summary>
internal static class ReferenceFields
{
    /// <summary>Reads the field that is there; none where none is.</summary>
    /// <param name="fields">The row.</param>
    /// <param name="names">Which of the three may be there.</param>
    /// <exception cref="FormatException">There are two, or one is not what it should be.</exception>
    public static string[] Read(JsonElement fields, params ReadOnlySpan<string> names)
    {
        string? found = null;
        string[] references = [];
        foreach (string name in names)
        {
            if (!fields.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
                continue;
            if (found is not null)
                throw new FormatException($"it has both {found} and {name}; give one of them");
            found = name;
            references = name switch
            {
                "reference" => [Text(value, name)],
                "answers" when value.ValueKind == JsonValueKind.Object => Answers(value),
                _ => Texts(value, name),
            };
        }

        return references;
    }

    private static string Text(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.String ? JsonText.Read(value) : throw new FormatException($"{name} is not a string");

    // As data sets have them: {"text": ["…"], "answer_start": [1]}.
    private static string[] Answers(JsonElement value) =>
        value.TryGetProperty("text", out JsonElement texts) ? Texts(texts, "answers.text") : throw new FormatException("answers is an object without text");

    private static string[] Texts(JsonElement value, string name)
    {
        if (value.ValueKind != JsonValueKind.Array)
            throw new FormatException($"{name} is not an array of strings");
        string[] texts = new string[value.GetArrayLength()];
        int index = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            texts[index] = Text(item, $"{name}[{index}]");
            index++;
        }

        return texts;
    }
}
