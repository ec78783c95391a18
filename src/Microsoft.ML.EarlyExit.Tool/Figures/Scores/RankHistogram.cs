namespace Microsoft.ML.EarlyExit.Tool.Figures.Scores;

/// <summary>How often every rank occurred; its memory grows with the different ranks and not with how many there are.</summary>
internal sealed class RankHistogram
{
    private readonly Dictionary<int, long> _counts = [];

    /// <summary>All ranks so far.</summary>
    public long Count { get; private set; }

    public void Add(int rank)
    {
        System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_counts, rank, out _)++;
        Count++;
    }

    /// <summary>
    /// The exact quantiles, as NumPy's and most others' default: of n ranks in their order, that at (n - 1) · share, between two ranks the proportional value;
    /// NaN where there is no rank.
    /// </summary>
    /// <param name="shares">Shares from 0 to 1, ascending.</param>
    public double[] Quantiles(params ReadOnlySpan<double> shares)
    {
        double[] quantiles = new double[shares.Length];
        if (Count == 0)
        {
            Array.Fill(quantiles, double.NaN);
            return quantiles;
        }

        (int Rank, long Count)[] sorted = [.. _counts.Select(pair => (pair.Key, pair.Value)).OrderBy(pair => pair.Key)];
        int place = 0;
        long before = 0;
        for (int index = 0; index < shares.Length; index++)
        {
            double position = (Count - 1) * shares[index];
            long whole = (long)Math.Floor(position);
            for (; before + sorted[place].Count <= whole; place++)
                before += sorted[place].Count;
            int next = whole + 1 < before + sorted[place].Count || place + 1 == sorted.Length ? sorted[place].Rank : sorted[place + 1].Rank;
            quantiles[index] = sorted[place].Rank + ((position - whole) * (next - sorted[place].Rank));
        }

        return quantiles;
    }
}
