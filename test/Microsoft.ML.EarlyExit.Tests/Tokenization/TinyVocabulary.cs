using System.Buffers.Binary;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

/// <summary>Sentencepiece models of a few pieces, written by the tests.</summary>
internal static class TinyVocabulary
{
    private const uint Value = 1u << 31;
    private const uint Leaf = 1u << 8;

    public static ModelProto Create(params string[] pieces)
    {
        ModelProto model = new() { TrainerSpec = new TrainerSpec(), NormalizerSpec = new NormalizerSpec() };
        Add(model, "<pad>", PieceType.Control);
        Add(model, "</s>", PieceType.Control);
        Add(model, "<unk>", PieceType.Unknown);
        Add(model, "▁", PieceType.Normal, -2);
        foreach (string piece in pieces)
        {
            Add(model, piece, PieceType.Normal, -3);
        }

        return model;
    }

    public static void Add(ModelProto model, string piece, PieceType type, float score = 0) =>
        model.Pieces.Add(new ModelProto.Types.SentencePiece { Piece = ByteString.CopyFromUtf8(piece), Type = type, Score = score });

    public static void AddBytes(ModelProto model)
    {
        model.TrainerSpec.ByteFallback = true;
        for (int value = 0; value < 256; value++)
        {
            Add(model, $"<0x{value:X2}>", PieceType.Byte);
        }
    }

    public static T5Tokenizer Load(ModelProto model) => T5Tokenizer.Load(new MemoryStream(model.ToByteArray()), "tiny.model");

    /// <summary>A character map that replaces 'a', as the tests then damage it.</summary>
    /// <param name="replacement">What stands for 'a', with the byte that ends it.</param>
    /// <param name="value">Where in the replacements that of 'a' starts.</param>
    /// <param name="damage">What to do to the trie: its root's children start at unit 256, 'a' is unit 353 and its value unit 128.</param>
    public static ByteString Map(string replacement, uint value = 0, Action<uint[]>? damage = null)
    {
        uint[] units = new uint[512];
        Array.Fill(units, Value);
        units[0] = 256u << 10;
        units[256 ^ 'a'] = 'a' | Leaf | Offset(256 ^ 'a', 128);
        units[128] = Value | value;
        damage?.Invoke(units);
        return Map(units, System.Text.Encoding.UTF8.GetBytes(replacement));
    }

    /// <summary>A map of units and replacements as given.</summary>
    public static ByteString Map(uint[] units, byte[] replacements)
    {
        byte[] blob = new byte[sizeof(uint) * (units.Length + 1)];
        BinaryPrimitives.WriteUInt32LittleEndian(blob, (uint)(units.Length * sizeof(uint)));
        for (int i = 0; i < units.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(blob.AsSpan(sizeof(uint) * (i + 1)), units[i]);
        }

        return ByteString.CopyFrom([.. blob, .. replacements]);
    }

    /// <summary>The offset field that leads from one unit to the place of its children.</summary>
    public static uint Offset(int from, int to) => (uint)(from ^ to) << 10;
}
