using Microsoft.ML.EarlyExit.Reproduction.Figures;

namespace Microsoft.ML.EarlyExit.Tool.Figures.Scores;

/// <summary>What the rows of <c>score</c> say of one layer.</summary>
internal sealed class LayerStatistics
{
    private double _confidences;
    private long _confidenceCount;
    private long _agreements;

    /// <summary>The ranks of the last layer's tokens.</summary>
    public RankHistogram Ranks { get; } = new();

    /// <summary>The mean of the confidences; NaN where there are none.</summary>
    public double MeanConfidence => _confidenceCount == 0 ? double.NaN : _confidences / _confidenceCount;

    /// <summary>The share of tokens that the last layer chooses too; NaN where there are none.</summary>
    public double Agreement => Ranks.Count == 0 ? double.NaN : (double)_agreements / Ranks.Count;

    /// <summary>Adds a token.</summary>
    /// <param name="rank">The rank of the last layer's token.</param>
    /// <param name="confidence">The confidence; null for none.</param>
    /// <param name="agrees">Whether the likeliest token is the last layer's.</param>
    public void Add(int rank, double? confidence, bool agrees)
    {
        Ranks.Add(rank);
        if (agrees)
            _agreements++;
        if (confidence is not { } value)
            return;
        _confidences += value;
        _confidenceCount++;
    }

    public BoxPlotFigure.Box ToBox(int layer)
    {
        double[] quantiles = Ranks.Quantiles(0, 0.05, 0.25, 0.5, 0.75, 0.95, 1);
        return new BoxPlotFigure.Box(layer, Ranks.Count, quantiles[0], quantiles[1], quantiles[2], quantiles[3], quantiles[4], quantiles[5], quantiles[6]);
    }
}
