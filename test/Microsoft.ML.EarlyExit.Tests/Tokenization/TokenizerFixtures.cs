using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>The reference's ids and texts for the real T5 vocabulary; see test/fixtures/t5-tokenizer/README.md.</summary>
internal static class TokenizerFixtures
{
    public static string RepositoryFolder { get; } = FindRepository();

    public static string VocabularyPath { get; } = Path.Combine(RepositoryFolder, "samples", "t5-restaurants", "spiece.model");

    public static T5Tokenizer Tokenizer { get; } = T5Tokenizer.Load(VocabularyPath);

    /// <summary>A folder beside the repository, which a fresh clone does not have.</summary>
    public static string SharedFolder { get; } = Path.Combine(RepositoryFolder, "..", "shared", "fixtures", "t5-tokenizer");

    private static string Folder { get; } = Path.Combine(RepositoryFolder, "test", "fixtures", "t5-tokenizer");

    public static IReadOnlyList<EncodeCase> EncodeCases(string file) => ReadEncodeCases(Path.Combine(Folder, file));

    public static IReadOnlyList<EncodeCase> ReadEncodeCases(string path) => [.. Read(path).GetProperty("cases").EnumerateArray().Select(EncodeCase.From)];

    public static IReadOnlyList<JsonElement> DecodeCases() => [.. Read(Path.Combine(Folder, "decode.json")).GetProperty("cases").EnumerateArray()];

    public static IReadOnlyList<JsonElement> LoneSurrogates() => [.. Read(Path.Combine(Folder, "lone-surrogates.json")).EnumerateArray()];

    public static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];

    private static JsonElement Read(string path) => JsonDocument.Parse(File.ReadAllBytes(path)).RootElement;

    private static string FindRepository()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Microsoft.ML.EarlyExit.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException("Microsoft.ML.EarlyExit.sln is in no folder above the tests.");
    }
}
