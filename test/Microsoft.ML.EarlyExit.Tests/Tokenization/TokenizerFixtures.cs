using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>The reference's ids and texts for the real T5 vocabulary; see test/fixtures/t5-tokenizer/README.md.</summary>
internal static class TokenizerFixtures
{
    public static string VocabularyPath { get; } = Path.Combine(TestModels.Checkpoint(TestModels.Demo), "spiece.model");

    public static T5Tokenizer Tokenizer { get; } = T5Tokenizer.Load(VocabularyPath);

    /// <summary>A folder beside the repository, which a fresh clone does not have.</summary>
    public static string SharedFolder { get; } = Path.Combine(Repository.Folder, "..", "shared", "fixtures", "t5-tokenizer");

    private static string Folder { get; } = TestModels.Fixture("t5-tokenizer");

    public static IReadOnlyList<EncodeCase> EncodeCases(string file) => ReadEncodeCases(Path.Combine(Folder, file));

    public static IReadOnlyList<EncodeCase> ReadEncodeCases(string path) => [.. Read(path).GetProperty("cases").EnumerateArray().Select(EncodeCase.From)];

    public static IReadOnlyList<JsonElement> DecodeCases() => [.. Read(Path.Combine(Folder, "decode.json")).GetProperty("cases").EnumerateArray()];

    public static IReadOnlyList<JsonElement> LoneSurrogates() => [.. Read(Path.Combine(Folder, "lone-surrogates.json")).EnumerateArray()];

    public static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];

    private static JsonElement Read(string path) => JsonDocument.Parse(File.ReadAllBytes(path)).RootElement;
}
