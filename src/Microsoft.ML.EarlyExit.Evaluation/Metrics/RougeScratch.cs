using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Buffers in which one thread scores a prediction against references, one after the other.</summary>
internal sealed class RougeScratch
{
    private const int IsRepeated = -2;

    private readonly TokenTable _tokens = new();
    private readonly RougeTokens _prediction = new();
    private readonly RougeTokens _reference = new();
    private readonly LongestCommonSubsequence _subsequence = new();
    private readonly List<long> _predictionPairs = [];
    private readonly List<long> _referencePairs = [];
    private readonly List<int> _sharedByPrediction = [];
    private readonly List<int> _sharedByReference = [];
    private readonly List<bool> _marks = [];

    // Lines of the prediction that have word w are at _lineStarts[w] to _lineStarts[w + 1] of _linesByWord.
    private readonly List<int> _lineStarts = [];
    private readonly List<int> _linesByWord = [];
    private readonly TokenTable _differentLines = new();

    // By the prediction's line and by word: the last of the reference's lines that was compared with it, or for which it has nothing more.
    private readonly List<int> _comparedWith = [];
    private readonly List<int> _exhaustedBy = [];

    // By token: how often it occurs in the prediction, and what is left of that while a reference is gone through.
    private readonly List<int> _predictionCounts = [];
    private readonly List<int> _left = [];

    /// <summary>How many elements the largest buffers have.</summary>
    public int Capacity => Math.Max(
        Math.Max(Math.Max(_tokens.Capacity, _differentLines.Capacity), _subsequence.Capacity),
        Math.Max(_prediction.Capacity, Math.Max(_reference.Capacity, _marks.Capacity)));

    /// <summary>Takes the prediction that is scored next.</summary>
    public void ReadPrediction(string prediction, in RougeRules rules)
    {
        _tokens.Clear();
        _prediction.Read(prediction, rules, _tokens);
        CollectionsMarshal.SetCount(_predictionCounts, _tokens.Count);
        Span<int> counts = CollectionsMarshal.AsSpan(_predictionCounts);
        counts.Clear();
        foreach (int id in _prediction.Ids)
            counts[id]++;
        ReadPairs(_prediction.Ids, _predictionPairs);
    }

    /// <summary>Scores the prediction against one reference.</summary>
    public RougeScores ScoreAgainst(string reference, in RougeRules rules, CancellationToken cancellationToken)
    {
        _reference.Read(reference, rules, _tokens);
        ReadOnlySpan<int> predicted = _prediction.Ids;
        ReadOnlySpan<int> expected = _reference.Ids;

        // Words the prediction has not are at the end, with no count.
        int known = _predictionCounts.Count;
        CollectionsMarshal.SetCount(_predictionCounts, _tokens.Count);
        CollectionsMarshal.AsSpan(_predictionCounts)[known..].Clear();
        RougeScore one = Ratio(CountShared(), predicted.Length, expected.Length);

        cancellationToken.ThrowIfCancellationRequested();
        ReadPairs(expected, _referencePairs);
        RougeScore two = Ratio(CountSharedPairs(), _predictionPairs.Count, _referencePairs.Count);
        int length = _subsequence.Length(
            CollectionsMarshal.AsSpan(_sharedByPrediction), CollectionsMarshal.AsSpan(_sharedByReference), _tokens.Count, cancellationToken);
        RougeScore longest = Ratio(length, predicted.Length, expected.Length);
        RougeScore summary = _prediction.LineCount <= 1 && _reference.LineCount <= 1
            ? longest
            : Ratio(CountUnion(cancellationToken), predicted.Length, expected.Length);
        return new(one, two, longest, summary);
    }

    // Also sets aside the words that both have, since no other can be in a common subsequence.
    private int CountShared()
    {
        ReadOnlySpan<int> counts = CollectionsMarshal.AsSpan(_predictionCounts);
        Span<int> left = CopyCounts();
        int shared = 0;
        _sharedByReference.Clear();
        foreach (int id in _reference.Ids)
        {
            if (counts[id] == 0)
                continue;
            _sharedByReference.Add(id);
            if (left[id]-- > 0)
                shared++;
        }

        _sharedByPrediction.Clear();
        foreach (int id in _prediction.Ids)
        {
            if (left[id] != counts[id])
                _sharedByPrediction.Add(id);
        }

        return shared;
    }

    private int CountSharedPairs()
    {
        ReadOnlySpan<long> one = CollectionsMarshal.AsSpan(_predictionPairs);
        ReadOnlySpan<long> other = CollectionsMarshal.AsSpan(_referencePairs);
        int shared = 0;
        for (int i = 0, j = 0; i < one.Length && j < other.Length;)
        {
            if (one[i] == other[j])
            {
                shared++;
                i++;
                j++;
            }
            else if (one[i] < other[j])
            {
                i++;
            }
            else
            {
                j++;
            }
        }

        return shared;
    }

    // A word of the reference counts once however many lines of the prediction share it, and no more often than the prediction has it.
    private int CountUnion(CancellationToken cancellationToken)
    {
        ReadOnlySpan<int> ids = _reference.Ids;
        CollectionsMarshal.SetCount(_marks, ids.Length);
        Span<bool> marks = CollectionsMarshal.AsSpan(_marks);
        marks.Clear();
        IndexLines();
        for (int line = 0; line < _reference.LineCount; line++)
            MarkUnion(line, _reference.Line(line, out int start), marks[start..], cancellationToken);

        Span<int> left = CopyCounts();
        int shared = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            if (marks[i] && left[ids[i]]-- > 0)
                shared++;
        }

        return shared;
    }

    // Only a line that has a word can mark it, and once it is marked no other line matters to it: texts of very many lines need not be compared line by line.
    private void MarkUnion(int line, ReadOnlySpan<int> expected, Span<bool> marks, CancellationToken cancellationToken)
    {
        ReadOnlySpan<int> starts = CollectionsMarshal.AsSpan(_lineStarts);
        ReadOnlySpan<int> lines = CollectionsMarshal.AsSpan(_linesByWord);
        Span<int> comparedWith = CollectionsMarshal.AsSpan(_comparedWith);
        Span<int> exhaustedBy = CollectionsMarshal.AsSpan(_exhaustedBy);
        for (int i = 0; i < expected.Length; i++)
        {
            int id = expected[i];
            if (marks[i] || exhaustedBy[id] == line)
                continue;
            for (int at = starts[id]; at < starts[id + 1] && !marks[i]; at++)
            {
                int other = lines[at];
                if (comparedWith[other] == line)
                    continue;
                comparedWith[other] = line;
                _subsequence.Mark(expected, _prediction.Line(other, out _), _tokens.Count, marks, cancellationToken);
            }

            if (!marks[i])
                exhaustedBy[id] = line;
        }
    }

    // The prediction's lines by the words they have; of equal lines only the first.
    private void IndexLines()
    {
        int words = _tokens.Count;
        CollectionsMarshal.SetCount(_lineStarts, words + 1);
        CollectionsMarshal.SetCount(_linesByWord, _prediction.Ids.Length);
        CollectionsMarshal.SetCount(_exhaustedBy, words);
        CollectionsMarshal.SetCount(_comparedWith, _prediction.LineCount);
        CollectionsMarshal.AsSpan(_exhaustedBy).Fill(-1);
        CollectionsMarshal.AsSpan(_comparedWith).Fill(-1);
        Span<int> starts = CollectionsMarshal.AsSpan(_lineStarts);
        Span<int> lines = CollectionsMarshal.AsSpan(_linesByWord);

        _differentLines.Clear();
        starts.Clear();
        for (int line = 0; line < _prediction.LineCount; line++)
        {
            ReadOnlySpan<int> predicted = _prediction.Line(line, out _);
            int known = _differentLines.Count;
            if (_differentLines.Add(MemoryMarshal.Cast<int, char>(predicted)) < known)
            {
                CollectionsMarshal.AsSpan(_comparedWith)[line] = IsRepeated;
                continue;
            }

            foreach (int id in predicted)
                starts[id + 1]++;
        }

        for (int id = 0; id < words; id++)
            starts[id + 1] += starts[id];
        Span<int> next = CopyCounts();
        starts[..words].CopyTo(next);
        for (int line = 0; line < _prediction.LineCount; line++)
        {
            if (_comparedWith[line] == IsRepeated)
                continue;
            foreach (int id in _prediction.Line(line, out _))
                lines[next[id]++] = line;
        }
    }

    private Span<int> CopyCounts()
    {
        CollectionsMarshal.SetCount(_left, _predictionCounts.Count);
        Span<int> left = CollectionsMarshal.AsSpan(_left);
        CollectionsMarshal.AsSpan(_predictionCounts).CopyTo(left);
        return left;
    }

    private static void ReadPairs(ReadOnlySpan<int> ids, List<long> pairs)
    {
        pairs.Clear();
        for (int i = 1; i < ids.Length; i++)
            pairs.Add(((long)ids[i - 1] << 32) | (uint)ids[i]);
        pairs.Sort();
    }

    private static RougeScore Ratio(int shared, int predicted, int expected)
    {
        double precision = (double)shared / Math.Max(predicted, 1);
        double recall = (double)shared / Math.Max(expected, 1);
        double sum = precision + recall;
        return new(precision, recall, sum > 0 ? 2 * precision * recall / sum : 0);
    }
}
