namespace Microsoft.ML.EarlyExit.Training;

/// <summary>Which rows are held out, and which positions of a row are kept: a function of the seed and the row's number, so that every pass has the
/// same.</summary>
/// <param name="seed">The seed.</param>
/// <param name="heldOutFraction">The share of rows that are held out, at least 0 and below 1.</param>
/// <param name="maximumTokensPerRow">How many positions are kept at most; null for all.</param>
internal sealed class ExampleSampling(int seed, double heldOutFraction, int? maximumTokensPerRow)
{
    private const ulong RowStream = 1;
    private const ulong PositionStream = 2;

    /// <summary>Whether a row, counted from 0, is held out: one of every 1 / fraction rows, so that also few rows give the share that was asked for.</summary>
    public bool IsHeldOut(long row)
    {
        if (heldOutFraction == 0)
            return false;
        double block = Math.Floor(row * heldOutFraction);
        long first = (long)Math.Ceiling(block / heldOutFraction);
        long end = (long)Math.Ceiling((block + 1) / heldOutFraction);
        return row == first + (long)(Mix(RowStream, (ulong)block, 0) % (ulong)(end - first));
    }

    /// <summary>The kept positions of a target of <paramref name="count"/> tokens, ascending.</summary>
    public int[] ChoosePositions(long row, int count) => maximumTokensPerRow is not { } most || count <= most
        ? [.. Enumerable.Range(0, count)]
        : [.. Enumerable.Range(0, count).OrderBy(position => Mix(PositionStream, (ulong)row, (ulong)position)).Take(most).Order()];

    // SplitMix64, whose numbers are the same in every process and version.
    private ulong Mix(ulong stream, ulong first, ulong second)
    {
        ulong state = (uint)seed;
        foreach (ulong value in (ReadOnlySpan<ulong>)[stream, first, second])
        {
            state = unchecked((state ^ value) + 0x9E3779B97F4A7C15);
            state = unchecked((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9);
            state = unchecked((state ^ (state >> 27)) * 0x94D049BB133111EB);
            state ^= state >> 31;
        }

        return state;
    }
}
