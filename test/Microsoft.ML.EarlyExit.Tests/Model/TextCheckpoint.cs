using System.Text.Json.Nodes;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Sentencepiece;
using Microsoft.ML.EarlyExit.Tests.Tokenization;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A small checkpoint (1,024 tokens) with a vocabulary, for one test to say more of its tokenizer and of how to generate.</summary>
internal sealed class TextCheckpoint : IDisposable
{
    /// <summary>Pieces of the vocabulary; sentinels follow up to 931.</summary>
    public const int Pieces = 832;

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public TextCheckpoint()
    {
        Directory.CreateDirectory(Source);
        foreach (string file in Directory.GetFiles(TestModels.Checkpoint(TestModels.Exits)))
            File.Copy(file, Path.Combine(Source, Path.GetFileName(file)));
        Write(Vocabulary());
    }

    public string Source => Path.Combine(_folder.Path, "source");

    public string Bundle => Path.Combine(_folder.Path, "bundle");

    public static ModelProto Vocabulary() =>
        TinyVocabulary.Create(
        [
            .. Enumerable.Range('!', 93).Select(character => ((char)character).ToString()),
            .. Enumerable.Range(0, Pieces - 97).Select(number => $"▁{number}"),
        ]);

    public void Write(ModelProto vocabulary) => File.WriteAllBytes(Path.Combine(Source, "spiece.model"), vocabulary.ToByteArray());

    public void Write(string file, string json) => File.WriteAllText(Path.Combine(Source, file), json);

    public void EditConfig(Action<JsonNode> edit)
    {
        string path = Path.Combine(Source, "config.json");
        JsonNode config = JsonNode.Parse(File.ReadAllText(path))!;
        edit(config);
        File.WriteAllText(path, config.ToJsonString());
    }

    /// <summary>Converts, and returns what there was to say.</summary>
    public IReadOnlyList<string> Convert() => T5Converter.Convert(Source, Bundle, new T5ConversionOptions { Overwrite = true }).Warnings;

    /// <summary>Converts and loads.</summary>
    public EarlyExitModel Load()
    {
        Convert();
        return EarlyExitModel.Load(Bundle);
    }

    public void Dispose() => _folder.Dispose();
}
