using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>One JSON file of a checkpoint: an object whose fields are read with their type and range checked. A field that is null counts as absent.</summary>
internal sealed class CheckpointJson : IDisposable
{
    private const int MaxLength = 16 << 20;
    private const int MaxDepth = 32;

    private readonly JsonDocument document;

    private CheckpointJson(string path, JsonDocument document)
    {
        Path = path;
        this.document = document;
    }

    public string Path { get; }

    public static CheckpointJson Open(string path)
    {
        ReadOnlyMemory<byte> text = RegularFile.Read(path, MaxLength);
        if (text.Span.StartsWith(Encoding.UTF8.Preamble))
        {
            text = text[Encoding.UTF8.Preamble.Length..];
        }

        if (JsonProblem.FindLineOfInvalidUtf8(text.Span) is long line)
        {
            throw new InvalidModelException($"'{path}', line {line}: it is not valid UTF-8. Fetch or save the checkpoint again.");
        }

        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(text, new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = MaxDepth });
        }
        catch (Exception exception) when (IsMalformed(exception))
        {
            throw new InvalidModelException($"'{path}' is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}. Fetch or save the checkpoint again.", exception);
        }

        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            JsonValueKind kind = document.RootElement.ValueKind;
            document.Dispose();
            throw new InvalidModelException($"'{path}' holds a JSON {kind}; an object is expected.");
        }

        return new CheckpointJson(path, document);
    }

    public int RequiredInteger(string field, int minimum, int maximum) =>
        OptionalInteger(field, minimum, maximum)
        ?? throw new InvalidModelException($"'{Path}' lacks '{field}', an integer from {minimum} to {maximum}.");

    public int? OptionalInteger(string field, int minimum, int maximum) =>
        Find(field) is JsonElement value ? Integer(field, value, minimum, maximum) : null;

    /// <summary>An integer, or a list of one.</summary>
    public int? OptionalSingleInteger(string field, int minimum, int maximum)
    {
        if (Find(field) is not JsonElement value)
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            return Integer(field, value, minimum, maximum);
        }

        if (value.GetArrayLength() != 1)
        {
            throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; exactly one id is supported, alone or in a list.");
        }

        return Integer(field, value[0], minimum, maximum);
    }

    /// <summary>A number above 0 and up to <paramref name="maximum"/>, in single precision.</summary>
    public float? OptionalPositive(string field, float maximum)
    {
        if (Find(field) is not JsonElement value)
        {
            return null;
        }

        if (value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) && number > 0 && number <= maximum)
        {
            return number;
        }

        throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; a number above 0 and up to {maximum} is expected.");
    }

    public bool? OptionalBoolean(string field) => Find(field) switch
    {
        null => null,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        JsonElement value => throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; true or false is expected."),
    };

    public string? OptionalString(string field) =>
        Find(field) is not JsonElement value ? null
        : value.ValueKind == JsonValueKind.String ? Text(field, value)
        : throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; a string is expected.");

    /// <summary>An object whose values are all strings.</summary>
    public IReadOnlyDictionary<string, string> RequiredStrings(string field)
    {
        if (Find(field) is not { ValueKind: JsonValueKind.Object } map)
        {
            throw new InvalidModelException($"'{Path}' lacks the object '{field}'.");
        }

        var strings = new Dictionary<string, string>();
        foreach (JsonProperty entry in map.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.String)
            {
                throw new InvalidModelException(
                    $"'{Path}': '{field}' gives '{CheckpointText.Shown(entry.Name)}' the value {Shown(entry.Value)}; a string is expected.");
            }

            strings.Add(entry.Name, Text(field, entry.Value));
        }

        return strings;
    }

    public void Dispose() => document.Dispose();

    /// <summary>What System.Text.Json throws for text that is no JSON, or strings that are no UTF-8 or UTF-16.</summary>
    internal static bool IsMalformed(Exception exception) => exception is JsonException or InvalidOperationException or ArgumentException or FormatException;

    private static string Shown(JsonElement value) => CheckpointText.Shown(value.GetRawText());

    private JsonElement? Find(string field) =>
        document.RootElement.TryGetProperty(field, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private int Integer(string field, JsonElement value, int minimum, int maximum) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= minimum && number <= maximum
            ? number
            : throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; an integer from {minimum} to {maximum} is expected.");

    private string Text(string field, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException exception)
        {
            throw new InvalidModelException($"'{Path}': a string of '{field}' is not valid Unicode.", exception);
        }
    }
}
