using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>
/// A read-only trie over UTF-8 strings in flat arrays: nodes stand in breadth-first order, so the children of one are neighbours,
/// and a node needs only their number's first and which labels they have. Unlike a double array, its size and the time to build it
/// are proportional to the keys, whatever the keys are.
/// </summary>
internal sealed class PieceTrie
{
    public const int Root = 0;
    public const int None = -1;

    /// <summary>From so many children on, a bit set of the labels is faster than a search.</summary>
    private const int ManyChildren = 4;

    private readonly byte[] _labels;
    private readonly Node[] _nodes;
    private readonly LabelSet[] _labelSets;

    /// <summary>Builds the trie.</summary>
    /// <param name="keys">Distinct, not empty; in any order.</param>
    public PieceTrie(IEnumerable<(ByteString Key, int Value)> keys)
    {
        (ByteString Key, int Value)[] sorted = [.. keys];
        Array.Sort(sorted, static (a, b) => a.Key.Span.SequenceCompareTo(b.Key.Span));

        List<byte> labels = [0];
        List<Node> nodes = [];
        List<LabelSet> labelSets = [];
        List<(int Start, int End, int Depth)> ranges = [(0, sorted.Length, 0)];
        for (int node = 0; node < ranges.Count; node++)
        {
            (int start, int end, int depth) = ranges[node];
            int firstChild = ranges.Count;
            bool isKey = start < end && sorted[start].Key.Length == depth;
            int at = isKey ? start + 1 : start;
            while (at < end)
            {
                byte label = sorted[at].Key[depth];
                int first = at;
                while (at < end && sorted[at].Key[depth] == label)
                {
                    at++;
                }

                labels.Add(label);
                ranges.Add((first, at, depth + 1));
            }

            int children = ranges.Count - firstChild;
            if (children >= ManyChildren)
            {
                labelSets.Add(new LabelSet(CollectionsMarshal.AsSpan(labels)[firstChild..], firstChild));
            }

            nodes.Add(new Node(children >= ManyChildren ? ~(labelSets.Count - 1) : firstChild, children, isKey ? sorted[start].Value : None));
        }

        _labels = [.. labels];
        _nodes = [.. nodes];
        _labelSets = [.. labelSets];
    }

    /// <summary>The child of a node by the next byte, or <see cref="None"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Child(int node, byte label)
    {
        ref readonly Node parent = ref _nodes[node];
        if (parent.Children < 0)
        {
            return _labelSets[~parent.Children].Child(label);
        }

        for (int i = 0; i < parent.Count; i++)
        {
            if (_labels[parent.Children + i] == label)
            {
                return parent.Children + i;
            }
        }

        return None;
    }

    /// <summary>The value of the key that ends at this node, or <see cref="None"/>.</summary>
    public int Value(int node) => _nodes[node].Value;

    /// <summary>The number of bytes of the longest key that the text starts with; 0 for none.</summary>
    public int LongestPrefix(ReadOnlySpan<byte> text)
    {
        int longest = 0;
        int node = Root;
        for (int i = 0; i < text.Length && (node = Child(node, text[i])) != None; i++)
        {
            if (_nodes[node].Value != None)
            {
                longest = i + 1;
            }
        }

        return longest;
    }

    /// <param name="Children">The first child, or the complement of the label set's index.</param>
    /// <param name="Count">The number of children.</param>
    /// <param name="Value">The value of the key that ends here, or <see cref="None"/>.</param>
    private readonly record struct Node(int Children, int Count, int Value);

    /// <summary>The labels of a node's children as 256 bits, with the number of the first child of each 64.</summary>
    private readonly struct LabelSet
    {
        private readonly Words _labels;
        private readonly Firsts _firstChild;

        public LabelSet(ReadOnlySpan<byte> labels, int firstChild)
        {
            foreach (byte label in labels)
            {
                _labels[label >> 6] |= 1UL << label;
            }

            for (int word = 0; word < 4; word++)
            {
                _firstChild[word] = firstChild;
                firstChild += BitOperations.PopCount(_labels[word]);
            }
        }

        public int Child(byte label)
        {
            ulong word = _labels[label >> 6];
            ulong bit = 1UL << label;
            return (word & bit) == 0 ? None : _firstChild[label >> 6] + BitOperations.PopCount(word & (bit - 1));
        }

        [InlineArray(4)]
        private struct Words
        {
            private ulong _first;
        }

        [InlineArray(4)]
        private struct Firsts
        {
            private int _first;
        }
    }
}
