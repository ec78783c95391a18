namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>Memory that the evaluations of one session use one after another; made when a measure first needs it.</summary>
internal sealed class EvaluationScratch(int vocabularySize)
{
    private int[]? _plausibleSet;
    private double[]? _plausibleScores;
    private ulong[]? _rankingKeys;

    /// <summary>Indices of the plausible set's tokens.</summary>
    public int[] PlausibleSet => _plausibleSet ??= new int[vocabularySize];

    /// <summary>Scores of the plausible set's tokens.</summary>
    public double[] PlausibleScores => _plausibleScores ??= new double[vocabularySize];

    /// <summary>Keys by which the tokens that stay alive are ranked.</summary>
    public ulong[] RankingKeys => _rankingKeys ??= new ulong[vocabularySize];

    /// <summary>Whether tokens outside the plausible set score 0 rather than their probability.</summary>
    public bool ZeroOutside { get; set; }
}
