using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes JSON as JSON, and its text.</summary>
internal static class JsonMutator
{
    /// <summary>Stands for text that is no value; what it stands for takes its place, with its quotes, in the text.</summary>
    private const string Raw = "@raw@";

    /// <summary>Stands for a second field of a name.</summary>
    private const string SameName = "@same@";

    private static readonly string[] s_values =
    [
        "null", "true", "false", "0", "-1", "-0", "0.5", "1e-400", "1e39", "1e400", "-1e400", "NaN", "Infinity", "2147483648", "-2147483649",
        "9223372036854775807", "18446744073709551616", "123456789012345678901234567890", "1.0", "1e2", "\"\"", "\"NaN\"", "\"1\"", "\"../../etc/passwd\"",
        "\"\\u0000\"", "\"\\ud800\"", "\"\\udc00x\"", "\"\\uFFFE\"", "\"a\\nb\\u001b[31m\"", "[]", "{}", "[[]]", "[null]", "{\"\":null}", "[1,2,3]", "\"x\"",
        "'x'", "undefined", "01", "+1", ".5", "//", "\"\\x\"", "\"\t\"",
    ];

    /// <summary>Changes one thing.</summary>
    public static byte[] Mutate(byte[] json, HostileRandom random)
    {
        JsonNode? root = null;
        try
        {
            root = random.Chance(75) ? JsonNode.Parse(json) : null;
        }
        catch (JsonException)
        {
            // An earlier change has left no JSON.
        }
        catch (ArgumentException)
        {
            // Or a field twice.
        }

        try
        {
            return root is null ? MutateText(json, random) : MutateTree(root, random);
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException)
        {
            // A lone surrogate or a field twice, which shows only when it is read.
            return MutateText(json, random);
        }
    }

    /// <summary>Changes a line of a file that has an object on each.</summary>
    public static byte[] MutateLines(byte[] lines, HostileRandom random)
    {
        if (random.Chance(15))
            return MutateText(lines, random);
        List<byte[]> all = [];
        for (int start = 0; start < lines.Length;)
        {
            int length = lines.AsSpan(start).IndexOf((byte)'\n');
            length = length < 0 ? lines.Length - start : length;
            all.Add(lines[start..(start + length)]);
            start += length + 1;
        }

        if (all.Count == 0)
            return MutateText(lines, random);
        int at = random.Next(all.Count);
        if (random.Chance(10))
            all.Insert(at, random.Pick(all));
        else
            all[at] = Mutate(all[at], random);
        return [.. all.SelectMany(line => (IEnumerable<byte>)[.. line, (byte)'\n'])];
    }

    private static byte[] MutateTree(JsonNode root, HostileRandom random)
    {
        List<JsonNode> holders = [.. Holders(root)];
        if (holders.Count == 0)
            return Encoding.UTF8.GetBytes(random.Pick(s_values));
        JsonNode holder = random.Pick(holders);
        (string raw, string same) = ("", "");
        if (holder is JsonObject fields)
        {
            string[] names = [.. fields.Select(field => field.Key)];
            string name = random.Pick(names);
            switch (random.Next(9))
            {
                case 0:
                    fields.Remove(name);
                    break;
                case 1:
                    JsonNode? renamed = fields[name]?.DeepClone();
                    fields.Remove(name);
                    fields[random.Pick([name.ToUpperInvariant(), name + "x", "", "a.b", new string('n', 300)])] = renamed;
                    break;
                case 2:
                    fields[SameName] = fields[name]?.DeepClone();
                    same = name;
                    break;
                case 3:
                    string other = random.Pick(names);
                    (JsonNode? one, JsonNode? two) = (fields[name]?.DeepClone(), fields[other]?.DeepClone());
                    fields[name] = two;
                    fields[other] = one;
                    break;
                case 4 when random.Pick(holders) is var from:
                    fields[name] = from.DeepClone();
                    break;
                default:
                    raw = Value(fields[name], random);
                    fields[name] = Raw;
                    break;
            }
        }
        else if (holder is JsonArray items)
        {
            int at = random.Next(items.Count);
            switch (random.Next(7))
            {
                case 0:
                    items.RemoveAt(at);
                    break;
                case 1:
                    items.Clear();
                    break;
                case 2:
                    for (int count = random.Pick([1, 1, 2, 100, 1001]); count > 0; count--)
                        items.Insert(at, items[at]?.DeepClone());
                    break;
                case 3:
                    int other = random.Next(items.Count);
                    (JsonNode? one, JsonNode? two) = (items[at]?.DeepClone(), items[other]?.DeepClone());
                    items[at] = two;
                    items[other] = one;
                    break;
                default:
                    raw = Value(items[at], random);
                    items[at] = Raw;
                    break;
            }
        }

        string text = root.ToJsonString();
        if (raw.Length > 0)
            text = text.Replace($"\"{Raw}\"", raw, StringComparison.Ordinal);
        if (same.Length > 0)
            text = text.Replace($"\"{SameName}\"", JsonSerializer.Serialize(same), StringComparison.Ordinal);
        return Encoding.UTF8.GetBytes(text);
    }

    private static string Value(JsonNode? old, HostileRandom random) => random.Next(12) switch
    {
        0 => Nested(random),
        1 => $"\"{new string('y', random.Pick([1000, 65_537, 1 << 20]))}\"",
        2 => JsonSerializer.Serialize(old?.ToJsonString() ?? "null"),
        3 => $"[{old?.ToJsonString() ?? "null"}]",
        4 or 5 or 6 when old?.GetValueKind() == JsonValueKind.Number => random.Number().ToString(CultureInfo.InvariantCulture),
        7 or 8 when old?.GetValueKind() == JsonValueKind.Number =>
            (old.GetValue<double>() * random.Pick([-1, 0.5, 1.5, 2, 1e9])).ToString("R", CultureInfo.InvariantCulture),
        9 when old?.GetValueKind() == JsonValueKind.String =>
            JsonSerializer.Serialize(old.GetValue<string>() + random.Pick(["x", " ", "\0", "\uFEFF", "é", "/.."])),
        _ => random.Pick(s_values),
    };

    private static string Nested(HostileRandom random)
    {
        int depth = random.Pick([3, 63, 64, 65, 1000, 100_000]);
        return random.Chance(50)
            ? new string('[', depth) + new string(']', depth)
            : string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth);
    }

    private static byte[] MutateText(byte[] json, HostileRandom random)
    {
        int at = random.Next(json.Length);
        int quote = json.AsSpan(at).IndexOf((byte)'"');
        int inText = quote < 0 ? at : at + quote + 1;
        byte[] nothing = [];
        return random.Next(16) switch
        {
            0 => [.. Encoding.UTF8.Preamble, .. json],
            1 => [.. Encoding.Unicode.Preamble, .. Encoding.Unicode.GetBytes(Encoding.UTF8.GetString(json))],
            2 => [.. json, .. random.Pick(["x", "{}", "\0", "null", " ", "\u001a"]) is var more ? Encoding.UTF8.GetBytes(more) : nothing],
            3 => json[..at],
            4 or 5 or 6 => [.. json.AsSpan(0, inText), .. random.Pick(s_brokenTexts), .. json.AsSpan(inText)],
            7 => nothing,
            8 => [.. Encoding.UTF8.GetBytes(Nested(random))],
            9 => Encoding.UTF8.GetBytes(random.Pick(s_values)),
            10 => [.. "/* a comment */"u8, .. json],
            11 => Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(json).Replace("}", ",}", StringComparison.Ordinal)),
            12 => Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(json).Replace("\n", "\r", StringComparison.Ordinal)),
            13 => [.. json, .. json],
            _ => ByteMutator.Mutate(json, random),
        };
    }

    /// <summary>Bytes that are no UTF-8, a surrogate in three bytes, an escape, a line's end.</summary>
    private static readonly byte[][] s_brokenTexts =
        [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xC0, 0x80], [0], [(byte)'\\'], [(byte)'\n'], [0x1B, (byte)'[']];

    /// <summary>All objects and arrays that hold something.</summary>
    private static IEnumerable<JsonNode> Holders(JsonNode root)
    {
        var open = new Stack<JsonNode>([root]);
        while (open.TryPop(out JsonNode? node))
        {
            if (node is JsonObject { Count: > 0 } or JsonArray { Count: > 0 })
                yield return node;
            IEnumerable<JsonNode?> inside = node is JsonObject fields ? fields.Select(field => field.Value) : node is JsonArray items ? items : [];
            foreach (JsonNode? child in inside)
            {
                if (child is not null)
                    open.Push(child);
            }
        }
    }
}
