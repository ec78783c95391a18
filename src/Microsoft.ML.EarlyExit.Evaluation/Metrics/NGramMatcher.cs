using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Counts the n-grams of a prediction that references have too, no more often than they have them. Holds buffers; not thread-safe.</summary>
internal sealed class NGramMatcher
{
    // The prediction's numbers, then each reference's.
    private readonly List<int> _ids = [];
    private readonly List<int> _ends = [];
    private readonly PairTable _table = new();

    // By place: the number of the n-gram that begins there, -1 where the prediction has it not.
    private readonly List<int> _grams = [];
    private readonly List<GramCount> _counts = [];

    // How often the prediction has an n-gram, the reference that had it last, how often that one has it, and the most that any has.
    private record struct GramCount(int Predicted, int Reference, int Current, int Most);

    /// <summary>How many references there are.</summary>
    public int ReferenceCount => _ends.Count - 1;

    /// <summary>How many elements the largest buffers have.</summary>
    public int Capacity => Math.Max(_ids.Capacity, _table.Capacity);

    /// <summary>Forgets all texts.</summary>
    public void Clear()
    {
        _ids.Clear();
        _ends.Clear();
    }

    /// <summary>Adds the number of a token to the text being read: the prediction first, then the references.</summary>
    public void Add(int id) => _ids.Add(id);

    /// <summary>Ends the text being read.</summary>
    public void End() => _ends.Add(_ids.Count);

    /// <summary>How many tokens a text has; 0 is the prediction, 1 the first reference.</summary>
    public int Length(int text) => _ends[text] - Start(text);

    /// <summary>Counts matches of each order from 1.</summary>
    /// <param name="tokenCount">Above all tokens' numbers.</param>
    /// <param name="orders">The highest order.</param>
    /// <param name="alone">For each order, the matches with each reference alone.</param>
    /// <param name="together">For each order, the matches where an n-gram may occur as often as in the reference that has most of it.</param>
    public void Match(int tokenCount, int orders, Span<int> alone, Span<int> together)
    {
        alone.Clear();
        together.Clear();
        ReadOnlySpan<int> ids = CollectionsMarshal.AsSpan(_ids);
        CollectionsMarshal.SetCount(_grams, ids.Length);
        Span<int> grams = CollectionsMarshal.AsSpan(_grams);
        ids.CopyTo(grams);
        for (int order = 1; order <= orders && order <= Length(0); order++)
        {
            CollectionsMarshal.SetCount(_counts, order == 1 ? tokenCount : Length(0));
            Span<GramCount> counts = CollectionsMarshal.AsSpan(_counts);
            counts.Clear();
            _table.Clear();
            for (int i = 0; i <= _ends[0] - order; i++)
            {
                if (order > 1)
                    grams[i] = _table.Add(grams[i], ids[i + order - 1]);
                counts[grams[i]].Predicted++;
            }

            for (int text = 1; text < _ends.Count; text++)
            {
                int matches = 0;
                for (int i = Start(text); i <= _ends[text] - order; i++)
                {
                    int gram = grams[i];
                    if (gram < 0)
                        continue;
                    if (order > 1)
                        grams[i] = gram = _table.Find(gram, ids[i + order - 1]);
                    else if (counts[gram].Predicted == 0)
                        grams[i] = gram = -1;
                    if (gram < 0)
                        continue;

                    ref GramCount count = ref counts[gram];
                    if (count.Reference != text)
                    {
                        count.Reference = text;
                        count.Current = 0;
                    }

                    if (++count.Current > count.Predicted)
                        continue;
                    matches++;
                    if (count.Current > count.Most)
                    {
                        count.Most = count.Current;
                        together[order - 1]++;
                    }
                }

                alone[(order - 1) * ReferenceCount + text - 1] = matches;
            }
        }
    }

    private int Start(int text) => text == 0 ? 0 : _ends[text - 1];
}
