using Google.Protobuf;
using Microsoft.ML.EarlyExit.Sentencepiece;
using Piece = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes a sentencepiece model: as what it is, as protobuf, or as bytes.</summary>
internal static class VocabularyMutator
{
    private static readonly float[] s_scores =
        [float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.MinValue, 0, -0f, 1e30f, -1e30f, 1e-45f];

    public static byte[] Mutate(byte[] vocabulary, HostileRandom random)
    {
        if (!random.Chance(55))
            return random.Chance(60) ? ProtobufMutator.Mutate(vocabulary, random) : ByteMutator.Mutate(vocabulary, random);
        try
        {
            ModelProto model = ModelProto.Parser.ParseFrom(vocabulary);
            Change(model, random);
            return model.ToByteArray();
        }
        catch (InvalidProtocolBufferException)
        {
            // An earlier change has left no message.
            return ByteMutator.Mutate(vocabulary, random);
        }
    }

    private static void Change(ModelProto model, HostileRandom random)
    {
        if (model.Pieces.Count == 0)
            model.Pieces.Add(new Piece());
        int at = random.Next(model.Pieces.Count);
        Piece piece = model.Pieces[at];
        model.NormalizerSpec ??= new NormalizerSpec();
        model.TrainerSpec ??= new TrainerSpec();
        switch (random.Next(14))
        {
            case 0:
                piece.Score = random.Pick(s_scores);
                break;
            case 1:
                foreach (Piece each in model.Pieces)
                    each.Score = random.Chance(50) ? random.Pick(s_scores[3..]) : each.Score * 1e30f;
                break;
            case 2:
                piece.Type = (Piece.Types.Type)random.Next(8);
                break;
            case 3:
                piece.Piece = ByteString.CopyFromUtf8(HostileTexts.Next(random));
                break;
            case 4:
                piece.Piece = ByteString.CopyFrom(ByteMutator.Mutate(piece.Piece.ToByteArray(), random));
                break;
            case 5:
                model.Pieces.RemoveAt(at);
                break;
            case 6:
                for (int count = random.Pick([1, 10, 20_000]); count > 0; count--)
                    model.Pieces.Add(new Piece { Piece = ByteString.CopyFromUtf8($"{(char)random.Next(0xD000)}{count}"), Score = -random.Next(100) });
                break;
            case 7:
                int other = random.Next(model.Pieces.Count);
                (model.Pieces[at], model.Pieces[other]) = (model.Pieces[other], model.Pieces[at]);
                break;
            case 8:
                string known = random.Pick(["<extra_id_0>", "<extra_id_99>", "<pad>", "</s>", "▁", " "]);
                model.Pieces.Add(new Piece { Piece = ByteString.CopyFromUtf8(known), Type = (Piece.Types.Type)(1 + random.Next(6)) });
                break;
            case 9:
                model.TrainerSpec.ByteFallback = !model.TrainerSpec.ByteFallback;
                for (int value = 0; value < 256 && random.Chance(99); value++)
                    model.Pieces.Add(new Piece { Piece = ByteString.CopyFromUtf8($"<0x{value:X2}>"), Type = Piece.Types.Type.Byte });
                break;
            case 10:
                model.NormalizerSpec.AddDummyPrefix = random.Chance(50);
                model.NormalizerSpec.RemoveExtraWhitespaces = random.Chance(50);
                model.NormalizerSpec.EscapeWhitespaces = random.Chance(50);
                break;
            case 11:
                model.TrainerSpec.EosPiece = ByteString.CopyFromUtf8(random.Pick(["", "▁", "<unk>", piece.Piece.ToStringUtf8()]));
                break;
            case 12:
                // A long chain of one letter: many ways to cut a long word.
                for (int length = 1; length < 64; length++)
                    model.Pieces.Add(new Piece { Piece = ByteString.CopyFromUtf8(new string('x', length + 1)), Score = -random.Next(9) });
                break;
            default:
                byte[] map = model.NormalizerSpec.PrecompiledCharsmap.ToByteArray();
                for (int count = random.Pick([1, 3, 100]); count > 0; count--)
                    map = ByteMutator.Mutate(map, random);
                model.NormalizerSpec.PrecompiledCharsmap = ByteString.CopyFrom(map);
                break;
        }
    }
}
