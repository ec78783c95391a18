using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>One JSON file of a checkpoint: an object whose fields are read with their type and range checked. A field that is null counts as absent.</summary>
internal sealed class CheckpointJson : IDisposable
{
    private const int MaxLength = 16 << 20;
    private const int MaxDepth = 32;

    private readonly JsonDocument? document;
    private readonly JsonElement root;

    private CheckpointJson(string path, JsonDocument document)
        : this(path, document.RootElement) => this.document = document;

    /// <summary>An object inside of another one.</summary>
    private CheckpointJson(string path, JsonElement root)
    {
        Path = path;
        this.root = root;
    }

    /// <summary>The file, and where in it an inner object is, for messages.</summary>
    public string Path { get; }

    /// <summary>The fields that are not null.</summary>
    public IEnumerable<(string Name, JsonElement Value)> Fields =>
        root.EnumerateObject().Where(entry => entry.Value.ValueKind != JsonValueKind.Null).Select(entry => (Name(entry), entry.Value));

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
            throw new InvalidModelException(
                $"'{path}' is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}. Fetch or save the checkpoint again.", exception);
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
                    $"'{Path}': '{field}' gives '{CheckpointText.Shown(Name(entry))}' the value {Shown(entry.Value)}; a string is expected.");
            }

            strings.Add(Name(entry), Text(field, entry.Value));
        }

        return strings;
    }

    /// <summary>The objects of an object of objects, with their names; they live as long as this one. Null where the field is absent.</summary>
    public IReadOnlyList<(string Name, CheckpointJson Fields)>? OptionalObjects(string field)
    {
        if (Find(field) is not JsonElement map)
        {
            return null;
        }

        return map.ValueKind == JsonValueKind.Object && map.EnumerateObject().All(entry => entry.Value.ValueKind == JsonValueKind.Object)
            ? [.. map.EnumerateObject().Select(entry => (Name(entry), new CheckpointJson($"{Path}, {field}.{CheckpointText.Shown(Name(entry))}", entry.Value)))]
            : throw new InvalidModelException($"'{Path}': '{field}' is {Shown(map)}; an object of objects is expected.");
    }

    /// <summary>The contents of a field that is a token or a list of tokens, each a string or an object with a <c>content</c>; what is neither is passed
    /// over.</summary>
    public IEnumerable<string> Tokens(string field)
    {
        JsonElement value = Find(field) ?? default;
        IEnumerable<JsonElement> items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : [value];
        foreach (JsonElement item in items)
        {
            JsonElement text = item.ValueKind == JsonValueKind.Object && item.TryGetProperty("content", out JsonElement content) ? content : item;
            if (text.ValueKind == JsonValueKind.String)
            {
                yield return Text(field, text);
            }
        }
    }

    public void Dispose() => document?.Dispose();

    /// <summary>What System.Text.Json throws for text that is no JSON, or strings that are no UTF-8 or UTF-16.</summary>
    internal static bool IsMalformed(Exception exception) => exception is JsonException or InvalidOperationException or ArgumentException or FormatException;

    private static string Shown(JsonElement value) => CheckpointText.Shown(value.GetRawText());

    private JsonElement? Find(string field) =>
        root.TryGetProperty(field, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private int Integer(string field, JsonElement value, int minimum, int maximum) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= minimum && number <= maximum
            ? number
            : throw new InvalidModelException($"'{Path}': '{field}' is {Shown(value)}; an integer from {minimum} to {maximum} is expected.");

    private string Name(JsonProperty entry)
    {
        try
        {
            return entry.Name;
        }
        catch (InvalidOperationException exception)
        {
            throw new InvalidModelException($"'{Path}': the name of a field is not valid Unicode.", exception);
        }
    }

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
