using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// FREE's shallow-deep mode (Bae et al., 2023, section 3): one confidence is evaluated for a token, after one shallow layer; the token exits there or runs all
/// layers. Immutable.
/// </summary>
public sealed record ShallowDeep
{
    private readonly int _exitLayer;

    /// <summary>The shallow layer, 1 to L - 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public required int ExitLayer
    {
        get => _exitLayer;
        init => _exitLayer = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ExitLayer), value, "ExitLayer must be from 1 to the number of decoder layers less one.");
    }

    /// <summary>
    /// Whether the threshold is learned while generating, from <see cref="ExitPolicy.Threshold"/> on: FREE's Beta mixture, fitted to the confidences of shallow
    /// tokens that full depth chooses too and of those that it does not. It is learned anew in every call or reading of a data view; rows are taken in closed
    /// batches, each with the threshold frozen at its start, so a row's result depends on the rows before its batch.
    /// </summary>
    /// <value>The default value is false.</value>
    public bool AdaptiveThreshold { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
