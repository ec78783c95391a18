using System.Numerics;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Longest common subsequences of token numbers, 64 tokens of one text at a time. Holds buffers; not thread-safe.</summary>
/// <remarks>
/// Bit j of a row of the table is 0 where the length grows from column j to j + 1: H. Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.
/// </remarks>
/// <param name="wholeTableWords">Up to how many words of 64 bits the whole table is kept; a larger one is computed twice, in parts.</param>
internal sealed class LongestCommonSubsequence(long wholeTableWords = 1 << 20)
{
    private ulong[] _masks = new ulong[256];
    private byte[] _carries = new byte[256];
    private ulong[] _kept = [];
    private ulong[] _rows = [];
    private ulong[] _first = [];

    /// <summary>How many elements the largest buffer has.</summary>
    public int Capacity => Math.Max(Math.Max(_masks.Length, _carries.Length), Math.Max(_kept.Length, _rows.Length));

    /// <summary>The length of the longest common subsequence of two texts whose tokens are below <paramref name="tokenCount"/>; can be cancelled after every 64
    /// tokens of one.</summary>
    public int Length(ReadOnlySpan<int> one, ReadOnlySpan<int> other, int tokenCount, CancellationToken cancellationToken = default)
    {
        ReadOnlySpan<int> columns = one.Length >= other.Length ? one : other;
        ReadOnlySpan<int> rows = one.Length >= other.Length ? other : one;
        if (rows.IsEmpty)
            return 0;
        Span<ulong> masks = Masks(tokenCount);
        Span<byte> carries = Carries(rows.Length);
        int length = 0;
        for (int start = 0; start < columns.Length; start += 64)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<int> block = columns.Slice(start, Math.Min(64, columns.Length - start));
            Mark(masks, block);
            ulong row = ulong.MaxValue;
            for (int i = 0; i < rows.Length; i++)
                row = Next(row, masks[rows[i]], ref carries[i]);
            length += BitOperations.PopCount(~row & FirstBits(block.Length));
            Unmark(masks, block);
        }

        return length;
    }

    /// <summary>Marks the reference's tokens that belong to the one longest common subsequence rouge_score reads out of the table.</summary>
    /// <remarks>From the end backwards: a match is taken; else the prediction is shortened where only this keeps the length, else the reference.</remarks>
    public void Mark(
        ReadOnlySpan<int> reference, ReadOnlySpan<int> prediction, int tokenCount, Span<bool> marks, CancellationToken cancellationToken = default)
    {
        if (reference.IsEmpty || prediction.IsEmpty)
            return;
        int words = (prediction.Length + 63) / 64;
        bool isWhole = (long)reference.Length * words <= wholeTableWords;
        int step = isWhole ? reference.Length : (int)Math.Ceiling(Math.Sqrt(reference.Length));
        int steps = (reference.Length + step - 1) / step;
        Span<ulong> first = Buffer(ref _first, words);
        first.Fill(ulong.MaxValue);
        Span<ulong> kept = Buffer(ref _kept, (long)(steps - 1) * words);
        Span<ulong> rows = Buffer(ref _rows, (long)step * words);
        if (steps > 1)
            Fill(reference[..((steps - 1) * step)], prediction, tokenCount, first, step, kept, cancellationToken);

        int column = prediction.Length;
        for (int part = steps - 1; part >= 0 && column > 0; part--)
        {
            int start = part * step;
            ReadOnlySpan<int> tokens = reference.Slice(start, Math.Min(step, reference.Length - start));
            ReadOnlySpan<ulong> before = part == 0 ? first : kept.Slice((part - 1) * words, words);
            Fill(tokens, prediction, tokenCount, before, 1, rows, cancellationToken);
            column = Trace(tokens, prediction, before, rows, words, column, marks[start..]);
        }
    }

    // Reads a part of the table backwards; returns the column at which it leaves the part upwards, 0 where nothing more can match.
    private static int Trace(
        ReadOnlySpan<int> reference, ReadOnlySpan<int> prediction, ReadOnlySpan<ulong> before, ReadOnlySpan<ulong> rows, int words, int column,
        Span<bool> marks)
    {
        int i = reference.Length;
        ReadOnlySpan<ulong> row = rows.Slice((i - 1) * words, words);
        int length = Zeros(row, column);
        while (i > 0)
        {
            ReadOnlySpan<ulong> above = i == 1 ? before : rows.Slice((i - 2) * words, words);
            int lengthAbove = Zeros(above, column);
            while (true)
            {
                if (length == 0)
                    return 0;
                if (reference[i - 1] == prediction[column - 1])
                {
                    marks[i - 1] = true;
                    column--;
                    length--;
                    break;
                }

                int left = length - Zero(row, column - 1);
                if (left <= lengthAbove)
                {
                    length = lengthAbove;
                    break;
                }

                length = left;
                column--;
                lengthAbove -= Zero(above, column);
            }

            row = above;
            i--;
        }

        return column;
    }

    // Writes each step-th row of the table.
    private void Fill(
        ReadOnlySpan<int> reference, ReadOnlySpan<int> prediction, int tokenCount, ReadOnlySpan<ulong> before, int step, Span<ulong> rows,
        CancellationToken cancellationToken)
    {
        Span<ulong> masks = Masks(tokenCount);
        Span<byte> carries = Carries(reference.Length);
        int words = before.Length;
        for (int word = 0; word < words; word++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<int> block = prediction.Slice(64 * word, Math.Min(64, prediction.Length - 64 * word));
            Mark(masks, block);
            ulong row = before[word];
            int untilKept = step;
            int target = word;
            for (int i = 0; i < reference.Length; i++)
            {
                row = Next(row, masks[reference[i]], ref carries[i]);
                if (--untilKept > 0)
                    continue;
                rows[target] = row;
                target += words;
                untilKept = step;
            }

            Unmark(masks, block);
        }
    }

    private static ulong Next(ulong row, ulong mask, ref byte carry)
    {
        ulong sum = row + (row & mask);
        ulong withCarry = sum + carry;
        carry = (byte)((sum < row ? 1 : 0) | (withCarry < sum ? 1 : 0));
        return withCarry | (row & ~mask);
    }

    private static void Mark(Span<ulong> masks, ReadOnlySpan<int> block)
    {
        for (int i = 0; i < block.Length; i++)
            masks[block[i]] |= 1UL << i;
    }

    private static void Unmark(Span<ulong> masks, ReadOnlySpan<int> block)
    {
        foreach (int token in block)
            masks[token] = 0;
    }

    private static int Zero(ReadOnlySpan<ulong> row, int column) => (int)(~row[column >> 6] >> (column & 63)) & 1;

    private static int Zeros(ReadOnlySpan<ulong> row, int columns)
    {
        int zeros = 0;
        int word = 0;
        for (; columns >= 64; columns -= 64)
            zeros += BitOperations.PopCount(~row[word++]);
        return columns == 0 ? zeros : zeros + BitOperations.PopCount(~row[word] & FirstBits(columns));
    }

    private static ulong FirstBits(int count) => count == 64 ? ulong.MaxValue : (1UL << count) - 1;

    // All zero between uses.
    private Span<ulong> Masks(int tokenCount)
    {
        if (_masks.Length < tokenCount)
            _masks = new ulong[(int)BitOperations.RoundUpToPowerOf2((uint)tokenCount)];
        return _masks.AsSpan(0, tokenCount);
    }

    private Span<byte> Carries(int rows)
    {
        if (_carries.Length < rows)
            _carries = new byte[(int)BitOperations.RoundUpToPowerOf2((uint)rows)];
        Span<byte> carries = _carries.AsSpan(0, rows);
        carries.Clear();
        return carries;
    }

    private static Span<ulong> Buffer(ref ulong[] buffer, long length)
    {
        if (buffer.LongLength < length)
            buffer = new ulong[length];
        return buffer.AsSpan(0, checked((int)length));
    }
}
