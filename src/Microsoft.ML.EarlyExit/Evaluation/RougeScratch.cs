using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>Buffers in which one thread scores a prediction against references, one after the other.</summary>
internal sealed class RougeScratch
{
    private readonly TokenTable _tokens = new();
    private readonly RougeTokens _prediction = new();
    private readonly RougeTokens _reference = new();
    private readonly LongestCommonSubsequence _subsequence = new();
    private readonly List<long> _predictionPairs = [];
    private readonly List<long> _referencePairs = [];
    private readonly List<int> _sharedByPrediction = [];
    private readonly List<int> _sharedByReference = [];
    private readonly List<bool> _marks = [];

    // By token: how often it occurs in the prediction, and what is left of that while a reference is gone through.
    private readonly List<int> _predictionCounts = [];
    private readonly List<int> _left = [];

    /// <summary>How many elements the largest buffers have.</summary>
    public int Capacity => Math.Max(
        Math.Max(_tokens.Capacity, _subsequence.Capacity), Math.Max(_prediction.Capacity, Math.Max(_reference.Capacity, _marks.Capacity)));

    /// <summary>Takes the prediction that is scored next.</summary>
    public void ReadPrediction(string prediction, bool useStemmer)
    {
        _tokens.Clear();
        _prediction.Read(prediction, useStemmer, _tokens);
        CollectionsMarshal.SetCount(_predictionCounts, _tokens.Count);
        Span<int> counts = CollectionsMarshal.AsSpan(_predictionCounts);
        counts.Clear();
        foreach (int id in _prediction.Ids)
            counts[id]++;
        ReadPairs(_prediction.Ids, _predictionPairs);
    }

    /// <summary>Scores the prediction against one reference.</summary>
    public RougeScores ScoreAgainst(string reference, bool useStemmer)
    {
        _reference.Read(reference, useStemmer, _tokens);
        ReadOnlySpan<int> predicted = _prediction.Ids;
        ReadOnlySpan<int> expected = _reference.Ids;

        // Words the prediction has not are at the end, with no count.
        int known = _predictionCounts.Count;
        CollectionsMarshal.SetCount(_predictionCounts, _tokens.Count);
        CollectionsMarshal.AsSpan(_predictionCounts)[known..].Clear();
        RougeScore one = Ratio(CountShared(), predicted.Length, expected.Length);

        ReadPairs(expected, _referencePairs);
        RougeScore two = Ratio(CountSharedPairs(), _predictionPairs.Count, _referencePairs.Count);
        int length = _subsequence.Length(
            CollectionsMarshal.AsSpan(_sharedByPrediction), CollectionsMarshal.AsSpan(_sharedByReference), _tokens.Count);
        RougeScore longest = Ratio(length, predicted.Length, expected.Length);
        RougeScore summary = _prediction.LineCount <= 1 && _reference.LineCount <= 1
            ? longest
            : Ratio(CountUnion(), predicted.Length, expected.Length);
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
    private int CountUnion()
    {
        CollectionsMarshal.SetCount(_marks, _reference.Ids.Length);
        Span<bool> marks = CollectionsMarshal.AsSpan(_marks);
        marks.Clear();
        for (int i = 0; i < _prediction.LineCount; i++)
        {
            ReadOnlySpan<int> predicted = _prediction.Line(i, out _);
            for (int j = 0; j < _reference.LineCount; j++)
            {
                ReadOnlySpan<int> expected = _reference.Line(j, out int start);
                _subsequence.Mark(expected, predicted, _tokens.Count, marks.Slice(start, expected.Length));
            }
        }

        Span<int> left = CopyCounts();
        ReadOnlySpan<int> ids = _reference.Ids;
        int shared = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            if (marks[i] && left[ids[i]]-- > 0)
                shared++;
        }

        return shared;
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
