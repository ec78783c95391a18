namespace Microsoft.ML.EarlyExit;

/// <summary>
/// FREE's shallow-deep mode (Bae et al., 2023, section 3): a token is asked once, after one shallow layer, and leaves there or runs all layers. Immutable.
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
}
