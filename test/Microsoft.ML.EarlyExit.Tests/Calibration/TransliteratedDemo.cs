using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The demo model whose vocabulary is in Armenian letters, one for each Latin one: it does with transliterated texts what the demo does with Latin
/// ones.</summary>
internal sealed class TransliteratedDemo : IDisposable
{
    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public TransliteratedDemo()
    {
        string checkpoint = Path.Combine(_folder.Path, "checkpoint");
        Directory.CreateDirectory(checkpoint);
        foreach (string file in Directory.EnumerateFiles(TestModels.Checkpoint(TestModels.Demo)))
            File.Copy(file, Path.Combine(checkpoint, Path.GetFileName(file)));
        string vocabulary = Path.Combine(checkpoint, "spiece.model");
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(vocabulary));
        foreach (ModelProto.Types.SentencePiece piece in model.Pieces.Where(piece => piece.Type == PieceType.Normal))
            piece.Piece = ByteString.CopyFromUtf8(Armenian.Of(piece.Piece.ToStringUtf8()));
        File.WriteAllBytes(vocabulary, model.ToByteArray());
        string bundle = Path.Combine(_folder.Path, "bundle");
        T5Converter.Convert(checkpoint, bundle);
        Model = EarlyExitModel.Load(bundle);
    }

    public EarlyExitModel Model { get; }

    public void Dispose()
    {
        Model.Dispose();
        _folder.Dispose();
    }
}
