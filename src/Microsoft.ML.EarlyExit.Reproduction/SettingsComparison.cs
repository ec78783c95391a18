using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Whether two settings give the same numbers, and where not.</summary>
internal static partial class SettingsComparison
{
    private const int MostNamed = 3;

    /// <summary>SHA-256 of all that matters.</summary>
    public static string Fingerprint(JsonElement settings)
    {
        var text = new StringBuilder();
        foreach ((string path, string value) in Leaves(settings))
            text.Append(path).Append('=').Append(value).Append('\n');
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    /// <summary>What differs, in words; null where nothing does.</summary>
    public static string? Difference(JsonElement before, JsonElement now)
    {
        Dictionary<string, string> old = Leaves(before).ToDictionary();
        Dictionary<string, string> given = Leaves(now).ToDictionary();
        string[] differences =
        [
            .. given.Keys.Union(old.Keys)
                .Where(path => old.GetValueOrDefault(path) != given.GetValueOrDefault(path))
                .Select(path => $"{path} was {old.GetValueOrDefault(path, "absent")} and is {given.GetValueOrDefault(path, "absent")}"),
        ];
        return differences.Length switch
        {
            0 => null,
            <= MostNamed => string.Join("; ", differences),
            _ => $"{string.Join("; ", differences.Take(MostNamed))}; and {differences.Length - MostNamed} more",
        };
    }

    /// <summary>Every value with its path. Where a file lies changes nothing: hashes say whether it is the same.</summary>
    private static IEnumerable<KeyValuePair<string, string>> Leaves(JsonElement element, string path = "") => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property =>
            Leaves(property.Value, path.Length == 0 ? property.Name : $"{path}.{property.Name}")),
        JsonValueKind.Array => element.EnumerateArray().SelectMany((item, index) => Leaves(item, $"{path}[{index}]")),
        _ when Names().IsMatch(path) => [],
        _ => [new KeyValuePair<string, string>(path, element.GetRawText())],
    };

    [GeneratedRegex(@"^(data\.file|models\[\d+\]\.bundle)$")]
    private static partial Regex Names();
}
