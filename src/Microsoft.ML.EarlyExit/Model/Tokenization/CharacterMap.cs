using System.Buffers.Binary;
using System.Text.Unicode;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>
/// The precompiled character map of a sentencepiece model: a double-array trie of character sequences (little-endian 32-bit units in the
/// layout of Darts-clone), each leading to the NUL-terminated text that replaces it.
/// </summary>
internal sealed class CharacterMap
{
    /// <summary>What Unicode's normalisation forms need stays below 40 bytes; this bounds how much a text can grow.</summary>
    private const int MaxReplacementBytes = 256;

    private const int MaxKeyBytes = 256;

    // A unit is either a step (bits 0-7 label, bit 8 "a key ends here", bit 9 offset scale, bits 10-30 offset) or, with bit 31, a value.
    private const uint ValueBit = 1u << 31;
    private const uint LabelMask = ValueBit | 0xFF;
    private const uint LeafBit = 1u << 8;

    private readonly uint[] _units;
    private readonly byte[] _replacements;

    /// <summary>Reads and checks a map.</summary>
    /// <param name="blob">The field's content: the trie's size in bytes, the trie, the replacements.</param>
    /// <param name="name">The file, for messages.</param>
    public CharacterMap(ReadOnlySpan<byte> blob, string name)
    {
        uint trieBytes = blob.Length < sizeof(uint) ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(blob);
        if (trieBytes == 0 || trieBytes % sizeof(uint) != 0 || trieBytes > blob.Length - sizeof(uint))
        {
            throw Damaged(name, $"it says its trie has {trieBytes} bytes, the field has {blob.Length}");
        }

        ReadOnlySpan<byte> trie = blob.Slice(sizeof(uint), (int)trieBytes);
        _units = new uint[trie.Length / sizeof(uint)];
        for (int i = 0; i < _units.Length; i++)
        {
            _units[i] = BinaryPrimitives.ReadUInt32LittleEndian(trie[(i * sizeof(uint))..]);
        }

        _replacements = blob[(sizeof(uint) + trie.Length)..].ToArray();
        Check(name);
    }

    /// <summary>Finds the longest sequence of the map that the text starts with.</summary>
    /// <returns>Its number of bytes; 0 for none.</returns>
    public int Match(ReadOnlySpan<byte> text, out ReadOnlySpan<byte> replacement)
    {
        uint[] units = _units;
        uint position = Offset(units[0]);
        int length = 0;
        uint value = 0;
        for (int i = 0; i < text.Length; i++)
        {
            position ^= text[i];
            uint unit = units[position];
            if ((unit & LabelMask) != text[i])
            {
                break;
            }

            position ^= Offset(unit);
            if ((unit & LeafBit) != 0)
            {
                length = i + 1;
                value = units[position] & ~ValueBit;
            }
        }

        replacement = default;
        if (length > 0)
        {
            replacement = _replacements.AsSpan((int)value);
            replacement = replacement[..replacement.IndexOf((byte)0)];
        }

        return length;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);

    /// <summary>Walks every reachable unit once, so that <see cref="Match"/> can neither leave the arrays nor run on: subtrees may be shared, but not be
    /// cyclic.</summary>
    private void Check(string name)
    {
        const ushort OnPath = ushort.MaxValue;
        ushort[] heights = new ushort[_units.Length]; // 0: not seen; else 1 + the longest way down
        Stack<(int Position, int Label)> path = new();
        Enter(0);
        while (path.TryPop(out (int Position, int Label) top))
        {
            uint children = (uint)top.Position ^ Offset(_units[top.Position]);
            int label = top.Label;
            for (; label < 256; label++)
            {
                uint child = children ^ (uint)label;
                if ((_units[child] & LabelMask) != label)
                {
                    continue;
                }

                if (heights[child] == OnPath)
                {
                    throw Damaged(name, $"its trie runs in a circle at unit {child}");
                }

                if (heights[child] == 0)
                {
                    // Comes back to this label, whose height is then known.
                    path.Push((top.Position, label));
                    Enter((int)child);
                    break;
                }
            }

            if (label < 256)
            {
                continue;
            }

            int height = 0;
            for (label = 0; label < 256; label++)
            {
                uint child = children ^ (uint)label;
                if ((_units[child] & LabelMask) == label)
                {
                    height = Math.Max(height, heights[child]);
                }
            }

            if (height > MaxKeyBytes)
            {
                throw Damaged(name, $"its trie has a key of more than {MaxKeyBytes} bytes");
            }

            heights[top.Position] = (ushort)(height + 1);
        }

        void Enter(int position)
        {
            uint unit = _units[position];
            uint children = (uint)position ^ Offset(unit);
            if ((children | 0xFF) >= (uint)_units.Length)
            {
                throw Damaged(name, $"unit {position} of its trie leads to unit {children}; there are {_units.Length}");
            }

            if ((unit & LeafBit) != 0 && position != 0)
            {
                CheckReplacement(_units[children], name);
            }

            heights[position] = OnPath;
            path.Push((position, 0));
        }
    }

    private void CheckReplacement(uint unit, string name)
    {
        uint start = unit & ~ValueBit;
        if ((unit & ValueBit) == 0 || start >= (uint)_replacements.Length)
        {
            throw Damaged(name, $"a replacement starts at byte {start}; there are {_replacements.Length} bytes of them");
        }

        ReadOnlySpan<byte> text = _replacements.AsSpan((int)start);
        int end = text[..Math.Min(text.Length, MaxReplacementBytes + 1)].IndexOf((byte)0);
        if (end < 0)
        {
            throw Damaged(name, $"the replacement at byte {start} does not end within {MaxReplacementBytes} bytes");
        }

        if (!Utf8.IsValid(text[..end]))
        {
            throw Damaged(name, $"the replacement at byte {start} is not UTF-8");
        }
    }

    private static InvalidModelException Damaged(string name, string what) =>
        new($"{name}: normalizer_spec.precompiled_charsmap is damaged: {what}. Copy the file again.");
}
