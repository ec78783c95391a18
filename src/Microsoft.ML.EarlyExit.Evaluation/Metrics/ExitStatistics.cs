using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>Where tokens exited the decoder.</summary>
public sealed class ExitStatistics
{
    internal ExitStatistics()
    {
    }

    /// <summary>Tokens of all rows, <c>&lt;/s&gt;</c> included.</summary>
    public long TokenCount { get; internal init; }

    /// <summary>The mean exit layer of all tokens; NaN without tokens.</summary>
    public double MeanExitLayer { get; internal init; }

    /// <summary>Tokens that exited after each number of layers; index 0 is always 0, the last index is the deepest exit.</summary>
    public IReadOnlyList<long> Histogram { get; internal init; } = [];

    /// <summary>The mean exit layer of all rows' tokens at each position, from 0.</summary>
    public IReadOnlyList<double> MeanExitLayerByPosition { get; internal init; } = [];

    /// <summary>Rows that have a token at each position, from 0.</summary>
    public IReadOnlyList<long> TokenCountByPosition { get; internal init; } = [];

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
