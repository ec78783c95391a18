using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.Json;

/// <summary>
/// The fields of one JSON object of a small file. Every value asked for is checked, and <see cref="Complete"/> refuses what nobody asked for; a message names
/// the source, the field by its path, the value, and what was expected. Its exceptions have no inner one: ML.NET's users look at the innermost.
/// </summary>
internal sealed class JsonFields
{
    /// <summary>More bytes than any such file needs; a larger one is refused before it is parsed.</summary>
    internal const int LargestSource = 64 * 1024 * 1024;

    private const int LongestQuotation = 60;

    private static readonly UTF8Encoding s_strictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Dictionary<string, JsonElement> _fields = new(StringComparer.Ordinal);
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private readonly string _source;
    private readonly string _path;

    private JsonFields(JsonElement element, string source, string path)
    {
        _source = source;
        _path = path;
        if (element.ValueKind != JsonValueKind.Object)
            throw new InvalidDataException($"{source}: {(path.Length == 0 ? "the file" : path.TrimEnd('.'))} is {Quote(element)}; it must be an object.");
        foreach (JsonProperty property in element.EnumerateObject())
        {
            string name = Text(() => property.Name) ?? throw new InvalidDataException($"{source}: {path}… has a field whose name is not valid Unicode.");
            if (!_fields.TryAdd(name, property.Value))
                throw new InvalidDataException($"{source}: {path}{Shorten(name)} occurs twice; give it once.");
        }
    }

    /// <summary>Reads what <paramref name="read"/> makes of the object that is the whole of <paramref name="json"/>.</summary>
    /// <exception cref="InvalidDataException">The text is not JSON, not an object, has fields that were not asked for, or <paramref name="read"/>
    /// refuses it.</exception>
    internal static T Parse<T>(string json, string source, Func<JsonFields, T> read)
    {
        byte[] utf8;
        try
        {
            utf8 = s_strictUtf8.GetBytes(json);
        }
        catch (EncoderFallbackException)
        {
            throw new InvalidDataException($"{source} is not valid Unicode: it holds half of a surrogate pair.");
        }

        return Parse(utf8, source, read);
    }

    /// <summary>As <see cref="Parse{T}(string, string, Func{JsonFields, T})"/>, from UTF-8 with or without a byte order mark.</summary>
    internal static T Parse<T>(Stream json, string source, Func<JsonFields, T> read) => Parse(ReadText(json, source), source, read);

    /// <summary>Reads a small file of JSON to its end.</summary>
    /// <returns>Its UTF-8, which is valid, without a byte order mark.</returns>
    /// <exception cref="InvalidDataException">It is too large, or not UTF-8.</exception>
    internal static ReadOnlyMemory<byte> ReadText(Stream json, string source)
    {
        using var bytes = new MemoryStream();
        byte[] buffer = new byte[16 * 1024];
        for (int count; (count = json.Read(buffer)) > 0;)
        {
            bytes.Write(buffer, 0, count);
            if (bytes.Length > LargestSource)
                throw new InvalidDataException($"{source} has more than {LargestSource} bytes; a file of this kind has far fewer.");
        }

        ReadOnlyMemory<byte> utf8 = bytes.GetBuffer().AsMemory(0, (int)bytes.Length);
        if (utf8.Span.StartsWith(Encoding.UTF8.Preamble))
            utf8 = utf8[Encoding.UTF8.Preamble.Length..];
        return JsonProblem.FindLineOfInvalidUtf8(utf8.Span) is { } line
            ? throw new InvalidDataException($"{source}, line {line}: it is not valid UTF-8. Save the file as UTF-8.")
            : utf8;
    }

    /// <summary>As <see cref="Parse{T}(string, string, Func{JsonFields, T})"/>, for a converter of System.Text.Json.</summary>
    /// <exception cref="JsonException">What the others answer with an <see cref="InvalidDataException"/>.</exception>
    internal static T Read<T>(ref Utf8JsonReader reader, string source, Func<JsonFields, T> read)
    {
        using JsonDocument document = JsonDocument.ParseValue(ref reader);
        try
        {
            return Read(document.RootElement, source, "", read);
        }
        catch (InvalidDataException exception)
        {
            throw new JsonException(exception.Message);
        }
    }

    /// <summary>Whether the object has the field and its value is not null.</summary>
    internal bool Has(string name)
    {
        _known.Add(name);
        return _fields.TryGetValue(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;
    }

    internal string GetString(string name)
    {
        JsonElement value = Get(name);
        return (value.ValueKind == JsonValueKind.String ? Text(value.GetString) : null) ?? throw Refuse(name, "it must be a string of valid Unicode");
    }

    internal bool GetBoolean(string name)
    {
        JsonElement value = Get(name);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Refuse(name, "it must be true or false");
    }

    internal int GetInt32(string name)
    {
        JsonElement value = Get(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number)
            ? number
            : throw Refuse(name, $"it must be a whole number of at most {int.MaxValue}");
    }

    internal int[] GetInt32s(string name) =>
    [
        .. Items(name).Select(item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int number)
            ? number
            : throw Refuse(name, $"its items must be whole numbers of at most {int.MaxValue}, not {Quote(item)}")),
    ];

    internal long GetInt64(string name)
    {
        JsonElement value = Get(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number : throw Refuse(name, "it must be a whole number");
    }

    /// <summary>A number; infinite where it is too large for single precision, which is for whoever takes it to refuse.</summary>
    internal float GetSingle(string name) => Single(Get(name)) ?? throw Refuse(name, "it must be a number");

    /// <summary>A finite number; what is too large for one in double precision is none.</summary>
    internal double GetDouble(string name) => Double(Get(name)) ?? throw Refuse(name, "it must be a finite number");

    /// <inheritdoc cref="GetDouble"/>
    internal double[] GetDoubles(string name) =>
        [.. Items(name).Select(item => Double(item) ?? throw Refuse(name, $"its items must be finite numbers, not {Quote(item)}"))];

    internal string[] GetStrings(string name) =>
    [
        .. Items(name).Select(item => (item.ValueKind == JsonValueKind.String ? Text(item.GetString) : null)
            ?? throw Refuse(name, $"its items must be strings of valid Unicode, not {Quote(item)}")),
    ];

    internal float[] GetSingles(string name) =>
        [.. Items(name).Select(item => Single(item) ?? throw Refuse(name, $"its items must be numbers, not {Quote(item)}"))];

    internal float[][] GetSingleRows(string name) =>
    [
        .. Items(name).Select(row => row.ValueKind == JsonValueKind.Array
            ? row.EnumerateArray().Select(item => Single(item) ?? throw Refuse(name, $"its rows' items must be numbers, not {Quote(item)}")).ToArray()
            : throw Refuse(name, $"its items must be arrays of numbers, not {Quote(row)}")),
    ];

    /// <summary>The objects of an array; each is read and completed by <paramref name="read"/>.</summary>
    internal T[] GetObjects<T>(string name, Func<JsonFields, T> read) =>
        [.. Items(name).Select((item, index) => Read(item, _source, $"{_path}{name}[{index}].", read))];

    /// <summary>The object in a field.</summary>
    internal T GetObject<T>(string name, Func<JsonFields, T> read) => Read(Get(name), _source, $"{_path}{name}.", read);

    /// <summary>
    /// The options with one more set from a field, or as they are where the object lacks it; what the option itself refuses is reported with the
    /// field and its value.
    /// </summary>
    internal T Set<T>(T options, string name, Func<T, T> set)
    {
        _known.Add(name);
        if (!_fields.TryGetValue(name, out JsonElement value))
            return options;
        try
        {
            return set(options);
        }
        catch (ArgumentException exception)
        {
            // The runtime appends the parameter and the value to the option's own sentence; both are named already.
            throw new InvalidDataException($"{_source}: {_path}{name} is {Quote(value)}: {exception.Message.Split(" (Parameter")[0]}");
        }
    }

    /// <summary>As <see cref="Set"/>, for a field whose null says that the option is not given.</summary>
    internal T SetUnlessNull<T>(T options, string name, Func<T, T> set) => Has(name) ? Set(options, name, set) : options;

    /// <summary>The exception that refuses a field for what it holds.</summary>
    internal InvalidDataException Refuse(string name, string expectation) => new($"{_source}: {_path}{name} is {Quote(Get(name))}; {expectation}.");

    private static T Parse<T>(ReadOnlyMemory<byte> utf8, string source, Func<JsonFields, T> read)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(utf8);
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{source} is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}.");
        }

        using (document)
            return Read(document.RootElement, source, "", read);
    }

    private static T Read<T>(JsonElement element, string source, string path, Func<JsonFields, T> read)
    {
        var fields = new JsonFields(element, source, path);
        T result = read(fields);
        fields.Complete();
        return result;
    }

    private void Complete()
    {
        string[] unknown = [.. _fields.Keys.Where(name => !_known.Contains(name)).Select(name => _path + Shorten(name))];
        if (unknown.Length > 0)
        {
            throw new InvalidDataException(
                $"{_source}: unknown {(unknown.Length == 1 ? "field" : "fields")} {Shorten(string.Join(", ", unknown))}; "
                + $"known are {string.Join(", ", _known)}.");
        }
    }

    private JsonElement Get(string name)
    {
        _known.Add(name);
        return _fields.TryGetValue(name, out JsonElement value) ? value : throw new InvalidDataException($"{_source}: {_path}{name} is missing.");
    }

    private JsonElement.ArrayEnumerator Items(string name)
    {
        JsonElement value = Get(name);
        return value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : throw Refuse(name, "it must be an array");
    }

    private static float? Single(JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) ? number : null;

    private static double? Double(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number) ? number : null;

    // System.Text.Json answers escapes of lone surrogates with an InvalidOperationException, and only when the text is asked for.
    private static string? Text(Func<string?> get)
    {
        try
        {
            return get();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static string Quote(JsonElement value) => Shorten(value.GetRawText());

    private static string Shorten(string text) => text.Length <= LongestQuotation ? text : $"{text.AsSpan(0, LongestQuotation)}…";
}
