using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Sentencepiece;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>
/// The most likely segmentation of a normalised text under a unigram model: a forward Viterbi over the characters, in time and memory
/// proportional to the text's length.
/// </summary>
internal sealed class UnigramSegmenter
{
    private const float UnknownPenalty = 10;
    private const float SmallestNormal = 1.17549435E-38f;

    private readonly PieceTrie _trie;
    private readonly float[] _scores;
    private readonly float _unknownScore;
    private readonly int _unknownId;
    private readonly int[]? _byteIds;
    private readonly int _window;

    public UnigramSegmenter(SentencepieceModel model)
    {
        var pieces = model.Proto.Pieces;
        _trie = new PieceTrie(pieces.Select((piece, id) => (piece, id))
            .Where(entry => entry.piece.Type is PieceType.Normal or PieceType.UserDefined)
            .Select(entry => (entry.piece.Piece, entry.id)));

        // A user-defined piece beats any other way to write its bytes: scores are log probabilities.
        float best = Math.Max(SmallestNormal, pieces.Where(piece => piece.Type == PieceType.Normal).Max(piece => piece.Score));
        _scores = [.. pieces.Select(piece => piece.Type == PieceType.UserDefined ? (piece.Piece.Length * best) - 0.1f : piece.Score)];
        _unknownScore = pieces.Where(piece => piece.Type == PieceType.Normal).Min(piece => piece.Score) - UnknownPenalty;
        _unknownId = model.UnknownId;
        _byteIds = model.ByteIds;

        // Only the scores of the next few positions are open at any time.
        _window = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(4, pieces.Max(piece => piece.Piece.Length)) + 1);
    }

    /// <summary>Appends the ids of the text's pieces.</summary>
    public void Segment(ReadOnlySpan<byte> text, List<int> output)
    {
        if (text.IsEmpty)
        {
            return;
        }

        int[] ids = ArrayPool<int>.Shared.Rent(text.Length + 1);
        ushort[] lengths = ArrayPool<ushort>.Shared.Rent(text.Length + 1);
        float[] open = ArrayPool<float>.Shared.Rent(_window);
        try
        {
            FindBestPath(text, ids, lengths, open);
            Emit(CollectPath(text, ids, lengths), output);
        }
        finally
        {
            ArrayPool<int>.Shared.Return(ids);
            ArrayPool<ushort>.Shared.Return(lengths);
            ArrayPool<float>.Shared.Return(open);
        }
    }

    /// <summary>Leaves, at each character's end, the last piece of the best path to there and its number of bytes.</summary>
    private void FindBestPath(ReadOnlySpan<byte> text, int[] ids, ushort[] lengths, float[] open)
    {
        int mask = _window - 1;
        lengths.AsSpan(0, text.Length + 1).Clear();
        open[0] = 0;
        int start = 0;
        while (start < text.Length)
        {
            float before = open[start & mask];
            int character = Math.Min(CharacterLength(text[start]), text.Length - start);
            bool covered = false;
            int node = PieceTrie.Root;
            for (int end = start; end < text.Length;)
            {
                node = _trie.Child(node, text[end++]);
                if (node == PieceTrie.None)
                {
                    break;
                }

                int id = _trie.Value(node);
                if (id != PieceTrie.None)
                {
                    int length = end - start;
                    covered |= length == character;
                    Offer(end, length, id, before + _scores[id]);
                }
            }

            if (!covered)
            {
                Offer(start + character, character, _unknownId, before + _unknownScore);
            }

            start += character;
        }

        // Sums stay in float32 and only a strictly better path replaces one: near ties come out as in sentencepiece.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        void Offer(int end, int length, int id, float score)
        {
            if (lengths[end] == 0 || score > open[end & mask])
            {
                lengths[end] = (ushort)length;
                ids[end] = id;
                open[end & mask] = score;
            }
        }
    }

    /// <summary>Follows the best path back, gathering its ids at the array's end: a piece has a byte or more, so they never overtake.</summary>
    private ReadOnlySpan<int> CollectPath(ReadOnlySpan<byte> text, int[] ids, ushort[] lengths)
    {
        int write = text.Length + 1;
        for (int end = text.Length; end > 0;)
        {
            int id = ids[end];
            int start = end - lengths[end];
            if (id == _unknownId && _byteIds is not null)
            {
                for (int i = end - 1; i >= start; i--)
                {
                    ids[--write] = _byteIds[text[i]];
                }
            }
            else
            {
                ids[--write] = id;
            }

            end = start;
        }

        return ids.AsSpan(write, text.Length + 1 - write);
    }

    private void Emit(ReadOnlySpan<int> path, List<int> output)
    {
        output.EnsureCapacity(output.Count + path.Length);
        bool afterUnknown = false;
        foreach (int id in path)
        {
            bool unknown = id == _unknownId;
            if (!unknown || !afterUnknown)
            {
                output.Add(id);
            }

            afterUnknown = unknown;
        }
    }

    private static int CharacterLength(byte lead) => lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}
