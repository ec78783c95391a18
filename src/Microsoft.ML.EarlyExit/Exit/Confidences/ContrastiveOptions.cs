namespace Microsoft.ML.EarlyExit;

/// <summary>How a contrastive confidence compares an expert layer's distribution p with an amateur layer's q (section 4.3 of the paper). Immutable.</summary>
/// <remarks>
/// Only tokens of the head set <c>H = { x : p(x) ≥ α' max p }</c> are compared: <c>LCD(x) = softmax over H of (ln p(x) - ln q(x))</c>. The score is
/// <c>DCD(x) = w LCD(x)</c> in H and <c>p(x)</c> outside, and the confidence its largest value less its second, clamped to [0, 1].
/// </remarks>
public sealed record ContrastiveOptions
{
    private readonly float _alpha = 0.1f;
    private readonly float _decayRate = 0.1f;

    /// <summary>α, in [0, 1]: the share of the largest probability that a token of the head set has at least.</summary>
    /// <value>The default value is 0.1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside [0, 1].</exception>
    public float Alpha
    {
        get => _alpha;
        init => _alpha = value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(nameof(Alpha), value, "Alpha must be from 0 to 1.");
    }

    /// <summary>Whether α' is α at every layer, or falls with the layer and the softmax margin.</summary>
    /// <value>The default value is <see cref="EarlyExit.AlphaSchedule.Constant"/>.</value>
    public AlphaSchedule AlphaSchedule { get; init; }

    /// <summary>How fast the hyperbolic schedule falls with the layer, at least 0.</summary>
    /// <value>The default value is 0.1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number of at least 0.</exception>
    public float DecayRate
    {
        get => _decayRate;
        init => _decayRate = float.IsFinite(value) && value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(DecayRate), value, "DecayRate must be a finite number of at least 0.");
    }

    /// <summary>Whether the set alive after pruning takes the head set's place; at the first layer, before the first cut, α's head set does. Needs pruning.</summary>
    /// <value>The default value is false.</value>
    public bool PlausibilityFromPruning { get; init; }

    /// <summary>Which layers <see cref="Confidence.JsdContrastive"/> may take as amateur.</summary>
    /// <value>The default value is <see cref="AmateurLayers.FromMinimumLayer"/>.</value>
    public AmateurLayers Amateurs { get; init; }

    /// <summary>w: one, or the head set's probability.</summary>
    /// <value>The default value is null: one for <see cref="Confidence.JsdContrastive"/>, the head set's mass for <see cref="Confidence.WeightedContrastive"/>.</value>
    public HeadWeight? HeadWeight { get; init; }

    /// <summary>Which token is chosen at an exit.</summary>
    /// <value>The default value is <see cref="ContrastiveToken.Expert"/>.</value>
    public ContrastiveToken Token { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
