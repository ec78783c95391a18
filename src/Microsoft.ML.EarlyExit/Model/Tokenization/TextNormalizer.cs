using System.Buffers;
using System.Text;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>Sentencepiece's normalisation of a text before segmentation: the character map, then the treatment of spaces.</summary>
internal sealed class TextNormalizer
{
    private readonly CharacterMap? _map;
    private readonly PieceTrie? _userDefined;
    private readonly bool _addDummyPrefix;
    private readonly bool _removeExtraSpaces;
    private readonly bool _escapeSpaces;

    public TextNormalizer(SentencepieceModel model)
    {
        NormalizerSpec spec = model.Normalizer;
        _map = spec.PrecompiledCharsmap.IsEmpty ? null : new CharacterMap(spec.PrecompiledCharsmap.Span, model.Name);
        _addDummyPrefix = spec.AddDummyPrefix;
        _removeExtraSpaces = spec.RemoveExtraWhitespaces;
        _escapeSpaces = spec.EscapeWhitespaces;

        // Such a piece is taken as it stands in the text.
        var userDefined = model.Proto.Pieces.Where(piece => piece.Type == PieceType.UserDefined).Select(piece => (piece.Piece, 0)).ToArray();
        _userDefined = userDefined.Length == 0 ? null : new PieceTrie(userDefined);
    }

    private static ReadOnlySpan<byte> Space => " "u8;

    private static ReadOnlySpan<byte> EscapedSpace => "\u2581"u8;

    private static ReadOnlySpan<byte> Replacement => "\uFFFD"u8;

    private ReadOnlySpan<byte> WrittenSpace => _escapeSpaces ? EscapedSpace : Space;

    /// <summary>Writes the normalised text; lone surrogates count as U+FFFD.</summary>
    public void Normalize(ReadOnlySpan<char> text, ref PooledBytes output)
    {
        int size = Encoding.UTF8.GetByteCount(text);
        byte[] rented = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            Normalize(rented.AsSpan(0, Encoding.UTF8.GetBytes(text, rented)), ref output);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private void Normalize(ReadOnlySpan<byte> text, ref PooledBytes output)
    {
        int taken;
        while (_removeExtraSpaces && !text.IsEmpty && Next(text, out taken).SequenceEqual(Space))
        {
            text = text[taken..];
        }

        if (text.IsEmpty)
        {
            return;
        }

        if (_addDummyPrefix)
        {
            output.Append(WrittenSpace);
        }

        bool afterSpace = _removeExtraSpaces;
        while (!text.IsEmpty)
        {
            ReadOnlySpan<byte> next = Next(text, out taken);
            text = text[taken..];
            if (afterSpace)
            {
                next = next.TrimStart((byte)' ');
            }

            if (!next.IsEmpty)
            {
                Write(next, ref output);
                afterSpace = _removeExtraSpaces && next[^1] == (byte)' ';
            }
        }

        // A typed U+2581 counts as a space here, as it does in sentencepiece.
        while (_removeExtraSpaces && output.Written.EndsWith(WrittenSpace))
        {
            output.Shorten(WrittenSpace.Length);
        }
    }

    private void Write(ReadOnlySpan<byte> text, ref PooledBytes output)
    {
        int space;
        while (_escapeSpaces && (space = text.IndexOf((byte)' ')) >= 0)
        {
            output.Append(text[..space]);
            output.Append(EscapedSpace);
            text = text[(space + 1)..];
        }

        output.Append(text);
    }

    /// <summary>What stands for the start of the text, and how much of the text that is.</summary>
    private ReadOnlySpan<byte> Next(ReadOnlySpan<byte> text, out int taken)
    {
        if (_userDefined is not null && (taken = _userDefined.LongestPrefix(text)) > 0)
        {
            return text[..taken];
        }

        if (_map is not null && (taken = _map.Match(text, out ReadOnlySpan<byte> replacement)) > 0)
        {
            return replacement;
        }

        // Only behind a sequence of the map that ends within a character.
        if (Rune.DecodeFromUtf8(text, out _, out taken) != OperationStatus.Done)
        {
            taken = 1;
            return Replacement;
        }

        return text[..taken];
    }
}
