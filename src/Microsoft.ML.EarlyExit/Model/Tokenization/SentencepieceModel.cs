using System.Text.Unicode;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>A sentencepiece model file, read and checked: whatever holds one of these may rely on its pieces.</summary>
internal sealed class SentencepieceModel
{
    /// <summary>A T5 vocabulary takes 0.8 MB, a multilingual one of 250,000 pieces 4.3 MB.</summary>
    internal const int MaxFileBytes = 16 << 20;

    /// <summary>Trainers limit a piece to 16 characters by default; the segmenter's work for each character is bounded by this.</summary>
    internal const int MaxPieceBytes = 1024;

    private SentencepieceModel(string name, ModelProto proto, int unknownId, int[]? byteIds)
    {
        Name = name;
        Proto = proto;
        UnknownId = unknownId;
        ByteIds = byteIds;
    }

    /// <summary>The file, for messages.</summary>
    public string Name { get; }

    public ModelProto Proto { get; }

    public int UnknownId { get; }

    /// <summary>The piece of each byte value, where the model spells unknown characters in bytes.</summary>
    public int[]? ByteIds { get; }

    public NormalizerSpec Normalizer => Proto.NormalizerSpec ?? new NormalizerSpec();

    public TrainerSpec Trainer => Proto.TrainerSpec ?? new TrainerSpec();

    /// <summary>Whether sentinels are among the pieces, as in mT5's vocabulary; T5's follow them.</summary>
    public bool HoldsSentinels => Proto.Pieces.Any(piece => Text(piece.Piece).AsSpan().TrimStart('\u2581').StartsWith("<extra_id_", StringComparison.Ordinal));

    public static SentencepieceModel Read(Stream stream, string name)
    {
        ModelProto proto = Parse(ReadBytes(stream, name), name);
        CheckKind(proto, name);
        int unknownId = CheckPieces(proto, name);
        return new SentencepieceModel(name, proto, unknownId, FindBytePieces(proto, name));
    }

    /// <summary>The id of a control piece that T5 cannot do without.</summary>
    public int ControlPiece(ByteString piece, string role) => FindControlPiece(piece)
        ?? throw new InvalidModelException(
            $"{Name}: no control piece '{Text(piece)}', which should be the {role} token. Use the spiece.model of a T5 checkpoint.");

    /// <summary>The id of a control piece; null where there is none.</summary>
    public int? FindControlPiece(ByteString piece)
    {
        for (int id = 0; id < Proto.Pieces.Count; id++)
        {
            if (Proto.Pieces[id].Type == PieceType.Control && Proto.Pieces[id].Piece.Equals(piece))
            {
                return id;
            }
        }

        return null;
    }

    internal static string Text(ByteString piece) => piece.ToStringUtf8();

    private static byte[] ReadBytes(Stream stream, string name)
    {
        using MemoryStream content = new();
        byte[] buffer = new byte[81920];
        int read;
        while ((read = stream.Read(buffer, 0, buffer.Length)) > 0)
        {
            content.Write(buffer, 0, read);
            if (content.Length > MaxFileBytes)
            {
                throw new InvalidModelException($"{name}: larger than {MaxFileBytes >> 20} MiB, so not a sentencepiece vocabulary of T5.");
            }
        }

        if (content.Length == 0)
        {
            throw new InvalidModelException($"{name}: the file is empty. Expected a sentencepiece model.");
        }

        return content.ToArray();
    }

    private static ModelProto Parse(byte[] bytes, string name)
    {
        try
        {
            return ModelProto.Parser.WithDiscardUnknownFields(true).ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new InvalidModelException($"{name}: not a sentencepiece model, or cut off ({e.Message}). Copy the file again.", e);
        }
    }

    private static void CheckKind(ModelProto proto, string name)
    {
        TrainerSpec trainer = proto.TrainerSpec ?? new TrainerSpec();
        if (trainer.ModelType != TrainerSpec.Types.ModelType.Unigram)
        {
            throw new InvalidModelException($"{name}: trainer_spec.model_type is {trainer.ModelType}; T5 uses unigram models only.");
        }

        if (trainer.TreatWhitespaceAsSuffix)
        {
            throw new InvalidModelException($"{name}: trainer_spec.treat_whitespace_as_suffix is set; T5 writes the space before the word.");
        }
    }

    private static int CheckPieces(ModelProto proto, string name)
    {
        if (proto.Pieces.Count == 0)
        {
            throw new InvalidModelException($"{name}: no pieces. The file is cut off, or not a sentencepiece model.");
        }

        int unknownId = -1;
        bool anyNormal = false;
        HashSet<ByteString> seen = new(proto.Pieces.Count);
        for (int id = 0; id < proto.Pieces.Count; id++)
        {
            ModelProto.Types.SentencePiece piece = proto.Pieces[id];
            if (piece.Piece.IsEmpty || piece.Piece.Length > MaxPieceBytes || !Utf8.IsValid(piece.Piece.Span))
            {
                string wrong = piece.Piece.IsEmpty ? "is empty" : piece.Piece.Length > MaxPieceBytes ? $"has more than {MaxPieceBytes} bytes" : "is not UTF-8";
                throw new InvalidModelException($"{name}: piece {id} {wrong}.");
            }

            if (!float.IsFinite(piece.Score))
            {
                throw new InvalidModelException($"{name}: the score of piece {id} ('{Text(piece.Piece)}') is {piece.Score}; scores are finite.");
            }

            if (piece.Type is < PieceType.Normal or > PieceType.Byte)
            {
                throw new InvalidModelException($"{name}: piece {id} ('{Text(piece.Piece)}') has the unknown type {(int)piece.Type}.");
            }

            if (!seen.Add(piece.Piece))
            {
                throw new InvalidModelException($"{name}: piece {id} ('{Text(piece.Piece)}') is there twice.");
            }

            anyNormal |= piece.Type == PieceType.Normal;
            if (piece.Type == PieceType.Unknown)
            {
                if (unknownId >= 0)
                {
                    throw new InvalidModelException($"{name}: pieces {unknownId} and {id} are both of type unknown; there is one.");
                }

                unknownId = id;
            }
        }

        if (unknownId < 0)
        {
            throw new InvalidModelException($"{name}: no piece of type unknown.");
        }

        return anyNormal ? unknownId : throw new InvalidModelException($"{name}: no piece of type normal.");
    }

    private static int[]? FindBytePieces(ModelProto proto, string name)
    {
        bool expected = proto.TrainerSpec?.ByteFallback ?? false;
        int[] ids = new int[256];
        Array.Fill(ids, -1);
        for (int id = 0; id < proto.Pieces.Count; id++)
        {
            if (proto.Pieces[id].Type == PieceType.Byte)
            {
                string text = Text(proto.Pieces[id].Piece);
                if (!expected || !TryParseByte(text, out byte value))
                {
                    string wrong = expected ? "is not of the form <0x41>" : "is a byte piece, but trainer_spec.byte_fallback is not set";
                    throw new InvalidModelException($"{name}: piece {id} ('{text}') {wrong}.");
                }

                ids[value] = id;
            }
        }

        if (!expected)
        {
            return null;
        }

        int missing = Array.IndexOf(ids, -1);
        return missing < 0 ? ids : throw new InvalidModelException($"{name}: trainer_spec.byte_fallback is set, but there is no piece <0x{missing:X2}>.");
    }

    internal static bool TryParseByte(string piece, out byte value)
    {
        value = 0;
        return piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>'
            && byte.TryParse(piece.AsSpan(3, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out value);
    }
}
