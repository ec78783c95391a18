using System.Buffers.Binary;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Tests.Tokenization;

public sealed class DamagedVocabularyTests
{
    private static readonly string Probe =
        string.Concat(Enumerable.Range(1, 0x3400).Where(code => code % 5 != 0).Select(code => (char)code)) + "\uFDFA\uFF21 \uD83D\uDE00 </s>";

    private static readonly Dictionary<string, (Action<ModelProto> Apply, string Message)> Damages = new()
    {
        ["no pieces"] = (model => model.Pieces.Clear(), "no pieces"),
        ["BPE"] = (model => model.TrainerSpec.ModelType = TrainerSpec.Types.ModelType.Bpe, "model_type"),
        ["unheard-of kind"] = (model => model.TrainerSpec.ModelType = (TrainerSpec.Types.ModelType)9, "model_type"),
        ["suffix"] = (model => model.TrainerSpec.TreatWhitespaceAsSuffix = true, "treat_whitespace_as_suffix"),
        ["twice"] = (model => TinyVocabulary.Add(model, "a", PieceType.Normal), "piece 5 ('a') is there twice"),
        ["no unknown"] = (model => model.Pieces.RemoveAt(2), "no piece of type unknown"),
        ["two unknown"] = (model => TinyVocabulary.Add(model, "?", PieceType.Unknown), "pieces 2 and 5"),
        ["no normal"] = (model => { model.Pieces.RemoveAt(4); model.Pieces.RemoveAt(3); }, "no piece of type normal"),
        ["no end"] = (model => model.Pieces.RemoveAt(1), "'</s>'"),
        ["NaN"] = (model => model.Pieces[4].Score = float.NaN, "the score of piece 4 ('a')"),
        ["infinite"] = (model => model.Pieces[3].Score = float.NegativeInfinity, "the score of piece 3"),
        ["empty piece"] = (model => TinyVocabulary.Add(model, "", PieceType.Normal), "piece 5 is empty"),
        ["long piece"] = (model => TinyVocabulary.Add(model, new string('x', 5000), PieceType.Normal), "piece 5 has more than"),
        ["not UTF-8"] = (model => model.Pieces[4].Piece = ByteString.CopyFrom(0xC3, 0x28), "piece 4 is not UTF-8"),
        ["unheard-of type"] = (model => model.Pieces[4].Type = (PieceType)77, "unknown type 77"),
        ["byte without fallback"] = (model => TinyVocabulary.Add(model, "<0x41>", PieceType.Byte), "byte_fallback is not set"),
        ["missing byte"] = (model => { TinyVocabulary.AddBytes(model); model.Pieces.RemoveAt(5 + 0x41); }, "<0x41>"),
        ["odd byte"] = (model => { TinyVocabulary.AddBytes(model); TinyVocabulary.Add(model, "<0xZZ>", PieceType.Byte); }, "<0xZZ>"),
        ["short map"] = (model => model.NormalizerSpec.PrecompiledCharsmap = ByteString.CopyFrom(1, 2, 3), "precompiled_charsmap"),
        ["map size 0"] = (model => model.NormalizerSpec.PrecompiledCharsmap = WithSize(0), "trie has 0 bytes"),
        ["map size odd"] = (model => model.NormalizerSpec.PrecompiledCharsmap = WithSize(2047), "trie has 2047 bytes"),
        ["map size one too many"] = (model => model.NormalizerSpec.PrecompiledCharsmap = WithSize(2052), "trie has 2052 bytes"),
        ["map size absurd"] = (model => model.NormalizerSpec.PrecompiledCharsmap = WithSize(0xFFFFFFFC), "trie has 4294967292 bytes"),
        ["no replacements"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map(""), "replacement starts at byte 0"),
        ["replacement outside"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", value: 2), "replacement starts at byte 2"),
        ["replacement far outside"] = (
            model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", value: int.MaxValue), "replacement starts at byte 2147483647"),
        ["replacement without end"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("bbb"), "does not end"),
        ["replacement too long"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map(new string('b', 70_000) + "\0"), "does not end"),
        ["replacement not UTF-8"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("é\0", value: 1), "not UTF-8"),
        ["value missing"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: units => units[128] = 0), "replacement"),
        ["circle"] = (
            model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: units => units[353] = 'a' | TinyVocabulary.Offset(353, 256)),
            "circle"),
        ["all zero"] = (model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: Array.Clear), "circle"),
        ["unit outside"] = (
            model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: units => units[353] = 'a' | (0x1FFFFFu << 10)),
            "leads to unit"),
        ["root outside"] = (
            model => model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: units => units[0] = (0x1FFFFFu << 10) | (1u << 9)),
            "leads to unit"),
        ["long key"] = (model => model.NormalizerSpec.PrecompiledCharsmap = LongKey(300), "key of more than"),
    };

    public static TheoryData<string> DamageNames() => [.. Damages.Keys];

    [Theory]
    [MemberData(nameof(DamageNames))]
    public void Says_what_is_wrong(string damage)
    {
        (Action<ModelProto> apply, string message) = Damages[damage];
        ModelProto model = TinyVocabulary.Create("a");
        apply(model);
        InvalidModelException error = Assert.Throws<InvalidModelException>(() => TinyVocabulary.Load(model));
        Assert.StartsWith("tiny.model: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_undamaged_map_works()
    {
        ModelProto model = TinyVocabulary.Create("b");
        model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0");
        Assert.Equal([3, 4, 4], TinyVocabulary.Load(model).Encode("ab", addEndOfSequence: false));
        model.NormalizerSpec.PrecompiledCharsmap = LongKey(100);
        Assert.Equal([3, 4], TinyVocabulary.Load(model).Encode(new string('a', 100), addEndOfSequence: false));
    }

    [Fact]
    public void A_map_may_end_within_a_character()
    {
        // Maps the first byte of é alone: what is left of it is no character.
        ModelProto model = TinyVocabulary.Create("b", "\uFFFD");
        model.NormalizerSpec.PrecompiledCharsmap = TinyVocabulary.Map("b\0", damage: units =>
        {
            units[256 ^ 'a'] = 1u << 31;
            units[256 ^ 0xC3] = 0xC3 | (1u << 8) | TinyVocabulary.Offset(256 ^ 0xC3, 128);
        });
        Assert.Equal([3, 4, 5], TinyVocabulary.Load(model).Encode("é", addEndOfSequence: false));
    }

    [Theory]
    [InlineData(0, "empty")]
    [InlineData(1, "not a sentencepiece model")]
    [InlineData(500_000, "not a sentencepiece model")]
    public void Names_the_file_that_is_cut_off(int length, string message)
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            File.WriteAllBytes(path, File.ReadAllBytes(TokenizerFixtures.VocabularyPath)[..length]);
            InvalidModelException error = Assert.Throws<InvalidModelException>(() => T5Tokenizer.Load(path));
            Assert.Contains(path, error.Message, StringComparison.Ordinal);
            Assert.Contains(message, error.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Endless_files_are_refused()
    {
        using EndlessStream stream = new();
        Assert.Contains("16 MiB", Assert.Throws<InvalidModelException>(() => T5Tokenizer.Load(stream, "endless")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_arguments_are_errors()
    {
        Assert.Throws<FileNotFoundException>(() => T5Tokenizer.Load(Path.Combine(Path.GetTempPath(), Path.GetRandomFileName())));
        Assert.Throws<ArgumentNullException>("path", () => T5Tokenizer.Load(null!));
        Assert.Throws<ArgumentNullException>("stream", () => T5Tokenizer.Load(null!, "x"));
        Assert.Throws<ArgumentNullException>("name", () => T5Tokenizer.Load(Stream.Null, null!));
    }

    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    public void Any_damage_to_a_real_file_is_noticed_or_harmless(int seed, int rounds)
    {
        byte[] original = File.ReadAllBytes(TokenizerFixtures.VocabularyPath);
        Random random = new(seed);
        for (int round = 0; round < rounds; round++)
        {
            byte[] damaged = round % 4 == 0 ? original[..random.Next(original.Length)] : (byte[])original.Clone();
            int flips = random.Next(1, 20);
            for (int i = 0; i < flips && damaged.Length > 0; i++)
            {
                damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            }

            TryUse(damaged);
        }
    }

    [Theory]
    [InlineData(3, 200)]
    public void Any_damage_to_a_real_map_is_noticed_or_harmless(int seed, int rounds)
    {
        ByteString map = ModelProto.Parser.ParseFrom(File.ReadAllBytes(TokenizerFixtures.VocabularyPath)).NormalizerSpec.PrecompiledCharsmap;
        ModelProto model = TinyVocabulary.Create("a", "b", "é");
        Random random = new(seed);
        int loaded = 0;
        for (int round = 0; round < rounds; round++)
        {
            byte[] damaged = map.ToByteArray();
            int flips = random.Next(1, 4);
            for (int i = 0; i < flips; i++)
            {
                damaged[random.Next(damaged.Length)] ^= (byte)random.Next(1, 256);
            }

            model.NormalizerSpec.PrecompiledCharsmap = ByteString.CopyFrom(damaged);
            loaded += TryUse(model.ToByteArray()) ? 1 : 0;
        }

        // Both outcomes have to be seen for the runs to mean something.
        Assert.InRange(loaded, 1, rounds - 1);
    }

    private static bool TryUse(byte[] model)
    {
        T5Tokenizer tokenizer;
        try
        {
            tokenizer = T5Tokenizer.Load(new MemoryStream(model), "damaged.model");
        }
        catch (InvalidModelException e)
        {
            Assert.StartsWith("damaged.model: ", e.Message, StringComparison.Ordinal);
            return false;
        }

        tokenizer.Decode([.. tokenizer.Encode(Probe)], skipSpecialTokens: false);
        return true;
    }

    private static ByteString WithSize(uint size)
    {
        byte[] map = TinyVocabulary.Map("b\0").ToByteArray();
        BinaryPrimitives.WriteUInt32LittleEndian(map, size);
        return ByteString.CopyFrom(map);
    }

    /// <summary>A map from so many 'a' to one 'b'.</summary>
    private static ByteString LongKey(int length)
    {
        uint[] units = new uint[256 * (length + 2)];
        Array.Fill(units, 1u << 31);
        units[0] = 256u << 10;
        for (int i = 1; i <= length; i++)
        {
            int unit = (256 * i) ^ 'a';
            units[unit] = 'a' | (i == length ? 1u << 8 : 0) | TinyVocabulary.Offset(unit, 256 * (i + 1));
        }

        return TinyVocabulary.Map(units, "b\0"u8.ToArray());
    }

    private sealed class EndlessStream : MemoryStream
    {
        public override int Read(byte[] buffer, int offset, int count) => count;
    }
}
