namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>The stakes of <see cref="Betting"/>, row by row: each depends on the rows before it only.</summary>
internal struct BettingStakes
{
    private readonly double _twiceLog;
    private double _sum;
    private double _squares;
    private long _seen;

    /// <param name="count">n, the number of rows there will be.</param>
    /// <param name="level">The error level the stakes are made for, in (0, 1).</param>
    public BettingStakes(long count, double level)
    {
        _twiceLog = -2 * Math.Log(level) / count;
        _sum = 0.5;
        _squares = 0.25;
    }

    /// <summary>The stake on the next row, in (0, 1].</summary>
    public readonly double Next => Math.Min(1, Math.Sqrt(_twiceLog / (_squares / (_seen + 1))));

    /// <summary>Takes note of a row's loss.</summary>
    public void Observe(double loss)
    {
        _seen++;
        _sum += loss;
        double deviation = loss - (_sum / (_seen + 1));
        _squares += deviation * deviation;
    }
}
