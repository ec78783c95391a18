using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>The JSON at the start of a safetensors file: what it says of each tensor, checked against the size of the data behind it.</summary>
internal static class SafetensorsHeader
{
    /// <summary>The format's own limit.</summary>
    public const int MaxLength = 100_000_000;

    private const string Metadata = "__metadata__";
    private const int MaxEntries = 65_536;
    private const int MaxTextLength = 1024;
    private const int MaxRank = 8;

    /// <summary>Reads and checks a header.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="dataLength">Bytes behind the header.</param>
    /// <param name="path">The file, for messages.</param>
    public static IReadOnlyList<SafetensorsEntry> Parse(ReadOnlySpan<byte> json, long dataLength, string path)
    {
        List<SafetensorsEntry> entries;
        try
        {
            entries = Read(json, path);
        }
        catch (Exception exception) when (CheckpointJson.IsMalformed(exception))
        {
            throw new InvalidModelException(
                $"'{path}': the safetensors header is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}. The file is damaged; fetch it again.",
                exception);
        }

        CheckTiling(entries, dataLength, path);
        return entries;
    }

    private static List<SafetensorsEntry> Read(ReadOnlySpan<byte> json, string path)
    {
        // The format wants the brace first; trailing spaces are its padding.
        if (json.IsEmpty || json[0] != (byte)'{')
        {
            throw new InvalidModelException($"'{path}': the safetensors header does not begin with '{{'. The file is damaged, or not a safetensors file.");
        }

        var entries = new List<SafetensorsEntry>();
        var names = new HashSet<string>();
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 4 });
        reader.Read();
        while (NextProperty(ref reader) is string name)
        {
            if (!names.Add(name))
            {
                throw new InvalidModelException($"'{path}': the safetensors header names '{CheckpointText.Shown(name)}' twice.");
            }

            if (names.Count > MaxEntries)
            {
                throw new InvalidModelException($"'{path}': the safetensors header has more than {MaxEntries} tensors.");
            }

            if (name == Metadata)
            {
                SkipMetadata(ref reader, path);
            }
            else
            {
                entries.Add(ReadEntry(ref reader, name, path));
            }
        }

        // Anything but white space behind the object makes this throw.
        reader.Read();
        return entries;
    }

    private static void SkipMetadata(ref Utf8JsonReader reader, string path)
    {
        Expect(ref reader, JsonTokenType.StartObject, path, Metadata, "an object");
        var keys = new HashSet<string>();
        while (NextProperty(ref reader) is string key)
        {
            if (!keys.Add(key) || keys.Count > MaxEntries)
            {
                throw new InvalidModelException(
                    $"'{path}': the safetensors header's metadata has '{CheckpointText.Shown(key)}' twice, or more than {MaxEntries} keys.");
            }

            Expect(ref reader, JsonTokenType.String, path, Metadata, "an object of strings");
        }
    }

    private static SafetensorsEntry ReadEntry(ref Utf8JsonReader reader, string name, string path)
    {
        const string Object = "an object with dtype, shape and data_offsets";
        string? dataType = null;
        int[]? shape = null;
        (long Begin, long End)? offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, path, name, Object);
        while (NextProperty(ref reader) is string key)
        {
            switch (key)
            {
                case "dtype" when dataType is null:
                    Expect(ref reader, JsonTokenType.String, path, name, "a dtype that is a string");
                    dataType = Text(ref reader);
                    break;
                case "shape" when shape is null:
                    shape = ReadShape(ref reader, name, path);
                    break;
                case "data_offsets" when offsets is null:
                    offsets = ReadOffsets(ref reader, name, path);
                    break;
                default:
                    throw new InvalidModelException(
                        $"'{path}': tensor '{CheckpointText.Shown(name)}' has the key '{CheckpointText.Shown(key)}' twice, or one the format does not "
                        + $"know; {Object} is expected.");
            }
        }

        if (dataType is null || shape is null || offsets is null)
        {
            throw Expected(path, name, Object);
        }

        (CheckpointDataType type, int size) = dataType switch
        {
            "F32" => (CheckpointDataType.F32, 4),
            "F16" => (CheckpointDataType.F16, 2),
            "BF16" => (CheckpointDataType.BF16, 2),
            _ => throw new InvalidModelException(
                $"'{path}': tensor '{CheckpointText.Shown(name)}' is of type {CheckpointText.Shown(dataType)}; F32, F16 and BF16 are supported. Save "
                + "the model in one of them."),
        };

        long elements = 1;
        try
        {
            foreach (int dimension in shape)
            {
                elements = checked(elements * dimension);
            }

            (long begin, long end) = offsets.Value;
            if (begin <= end && checked(elements * size) == end - begin)
            {
                return new SafetensorsEntry(name, type, shape, elements, begin, end);
            }
        }
        catch (OverflowException)
        {
            // Too large for any file: refused below.
        }

        throw new InvalidModelException(
            $"'{path}': tensor '{CheckpointText.Shown(name)}' of type {dataType} and shape {CheckpointText.Shown(shape)} does not fill its data "
            + $"offsets {offsets.Value.Begin} to {offsets.Value.End}. The file is damaged; fetch it again.");
    }

    private static int[] ReadShape(ref Utf8JsonReader reader, string name, string path)
    {
        const string What = "a shape of at most 8 integers from 0 to 2147483647";
        Expect(ref reader, JsonTokenType.StartArray, path, name, What);
        var shape = new List<int>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (shape.Count == MaxRank || reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out int dimension) || dimension < 0)
            {
                throw Expected(path, name, What);
            }

            shape.Add(dimension);
        }

        return [.. shape];
    }

    private static (long Begin, long End) ReadOffsets(ref Utf8JsonReader reader, string name, string path)
    {
        Expect(ref reader, JsonTokenType.StartArray, path, name, "two data_offsets");
        (long Begin, long End) offsets = (ReadOffset(ref reader), ReadOffset(ref reader));
        Expect(ref reader, JsonTokenType.EndArray, path, name, "two data_offsets");
        return offsets;

        long ReadOffset(ref Utf8JsonReader reader)
        {
            Expect(ref reader, JsonTokenType.Number, path, name, "two data_offsets");
            return reader.TryGetInt64(out long offset) && offset >= 0 ? offset : throw Expected(path, name, "data_offsets that are integers from 0");
        }
    }

    /// <summary>Refuses bytes that two tensors claim or none does: in either case the header is not about this data.</summary>
    private static void CheckTiling(List<SafetensorsEntry> entries, long dataLength, string path)
    {
        entries.Sort(static (a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        long position = 0;
        foreach (SafetensorsEntry entry in entries)
        {
            if (entry.Begin != position)
            {
                throw new InvalidModelException(
                    $"'{path}': the data of tensor '{CheckpointText.Shown(entry.Name)}' begins at {entry.Begin}, "
                    + $"{(entry.Begin < position ? "inside another's" : "after a gap")}; {position} is expected. The file is damaged; fetch it again.");
            }

            position = entry.End;
        }

        if (position != dataLength)
        {
            throw new InvalidModelException(
                $"'{path}': the tensors take {position} bytes but {dataLength} follow the header; the file is "
                + $"{(position > dataLength ? "cut short" : "longer than its tensors")}. Fetch it again.");
        }
    }

    private static string Text(ref Utf8JsonReader reader) =>
        reader.ValueSpan.Length <= MaxTextLength ? reader.GetString()! : throw new JsonException(
            $"a string has {reader.ValueSpan.Length} bytes; at most {MaxTextLength} are allowed.");

    private static string? NextProperty(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.PropertyName ? Text(ref reader) : null;

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string path, string name, string what)
    {
        if (!reader.Read() || reader.TokenType != type)
        {
            throw Expected(path, name, what);
        }
    }

    private static InvalidModelException Expected(string path, string name, string what) =>
        new($"'{path}': the safetensors header gives '{CheckpointText.Shown(name)}' something other than {what}. The file is damaged; fetch it again.");
}
