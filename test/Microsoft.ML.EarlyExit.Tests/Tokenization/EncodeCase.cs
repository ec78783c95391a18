using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>A line of an encode-*.json file.</summary>
/// <param name="Text">The text.</param>
/// <param name="Ids">Its ids where special tokens are recognised.</param>
/// <param name="PlainIds">Its ids where they are not.</param>
/// <param name="DecodedIds">The ids that the decoded texts belong to.</param>
/// <param name="Decoded">Their text without special tokens.</param>
/// <param name="DecodedWithSpecials">Their text with special tokens.</param>
internal sealed record EncodeCase(string Text, int[] Ids, int[] PlainIds, int[] DecodedIds, string Decoded, string DecodedWithSpecials)
{
    public static EncodeCase From(JsonElement line)
    {
        int[] plain = TokenizerFixtures.Ids(line.GetProperty("sp"));
        int[] fast = line.TryGetProperty("hf", out JsonElement hf) ? TokenizerFixtures.Ids(hf) : plain;
        int[] ids = line.TryGetProperty("slow", out JsonElement slow) ? TokenizerFixtures.Ids(slow) : fast;
        string decoded = (line.TryGetProperty("hf_decode", out JsonElement text) ? text : line.GetProperty("sp_decode")).GetString()!;
        string special = line.TryGetProperty("hf_decode_special", out JsonElement with) ? with.GetString()! : decoded + "</s>";
        return new EncodeCase(line.GetProperty("text").GetString()!, ids, plain, [.. fast, 1], decoded, special);
    }
}
