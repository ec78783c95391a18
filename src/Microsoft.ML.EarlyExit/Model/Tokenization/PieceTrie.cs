using Google.Protobuf;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// A read-only trie over UTF-8 strings in three flat arrays: nodes stand in breadth-first order, so the children of one are neighbours
/// and their labels one short run of bytes to search.
/// </summary>
internal sealed class PieceTrie
{
    public const int Root = 0;
    public const int None = -1;

    private readonly byte[] _labels;
    private readonly int[] _firstChild;
    private readonly int[] _values;

    /// <summary>Builds the trie.</summary>
    /// <param name="keys">Distinct, not empty; in any order.</param>
    public PieceTrie(IEnumerable<(ByteString Key, int Value)> keys)
    {
        (ByteString Key, int Value)[] sorted = [.. keys];
        Array.Sort(sorted, static (a, b) => a.Key.Span.SequenceCompareTo(b.Key.Span));

        List<byte> labels = [0];
        List<int> firstChild = [];
        List<int> values = [];
        List<(int Start, int End, int Depth)> ranges = [(0, sorted.Length, 0)];
        for (int node = 0; node < ranges.Count; node++)
        {
            (int start, int end, int depth) = ranges[node];
            firstChild.Add(ranges.Count);
            bool isKey = start < end && sorted[start].Key.Length == depth;
            values.Add(isKey ? sorted[start].Value : None);
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
        }

        firstChild.Add(ranges.Count);
        _labels = [.. labels];
        _firstChild = [.. firstChild];
        _values = [.. values];
    }

    /// <summary>The child of a node by the next byte, or <see cref="None"/>.</summary>
    public int Child(int node, byte label)
    {
        int first = _firstChild[node];
        int index = _labels.AsSpan(first, _firstChild[node + 1] - first).IndexOf(label);
        return index < 0 ? None : first + index;
    }

    /// <summary>The value of the key that ends at this node, or <see cref="None"/>.</summary>
    public int Value(int node) => _values[node];

    /// <summary>The number of bytes of the longest key that the text starts with; 0 for none.</summary>
    public int LongestPrefix(ReadOnlySpan<byte> text)
    {
        int longest = 0;
        int node = Root;
        for (int i = 0; i < text.Length && (node = Child(node, text[i])) != None; i++)
        {
            if (_values[node] != None)
            {
                longest = i + 1;
            }
        }

        return longest;
    }
}
