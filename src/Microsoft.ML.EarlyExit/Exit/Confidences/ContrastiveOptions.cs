using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How a contrastive confidence compares an expert layer's distribution p with an amateur layer's q (section 4.3 of the paper). Immutable.</summary>
/// <remarks>
/// Only tokens of the plausible set <c>S = { x : p(x) ≥ α' max p }</c> are compared: <c>LCD(x) = softmax over S of (ln p(x) - ln q(x))</c>. The score is
/// <c>DCD(x) = w LCD(x)</c> in S and <c>p(x)</c> outside, and the confidence its largest value less its second, clamped to [0, 1].
/// </remarks>
public sealed record ContrastiveOptions
{
    private const float DefaultDecayRate = 0.1f;

    private readonly float _alpha = 0.1f;
    private readonly float? _decayRate;
    private readonly PlausibleSetWeight? _plausibleSetWeight;
    private readonly ContrastiveToken _token;

    /// <summary>α, in [0, 1]: the share of the largest probability that a token of the plausible set has at least.</summary>
    /// <value>The default value is 0.1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside [0, 1].</exception>
    public float Alpha
    {
        get => _alpha;
        init => _alpha = value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(nameof(Alpha), value, "Alpha must be from 0 to 1.");
    }

    /// <summary>
    /// How fast α' falls with the layer l, at least 0: <c>α' = α / (1 + DecayRate · l) · (1 - c)</c>, c being the softmax margin at that layer (the
    /// hyperbolic schedule).
    /// </summary>
    /// <value>The default value is null: α' is α at every layer.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number of at least 0.</exception>
    public float? DecayRate
    {
        get => _decayRate;
        init => _decayRate = value is null || (float.IsFinite(value.Value) && value >= 0)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(DecayRate), value, "DecayRate must be a finite number of at least 0.");
    }

    /// <summary>Whether the tokens that pruning kept are the plausible set; at the first layer, before the first cut, it is α's. Needs pruning.</summary>
    /// <value>The default value is false.</value>
    public bool PlausibilityFromPruning { get; init; }

    /// <summary>
    /// Whether <see cref="Confidence.JsdContrastive"/> may take layers below the minimum exit layer j as amateur too: 2 to l - 1, as the published code does,
    /// which multiplies the LM head below j. Else they are j to l - 1, as in the paper.
    /// </summary>
    /// <value>The default value is false.</value>
    public bool AmateursBelowMinimumLayer { get; init; }

    /// <summary>w: one, or the plausible set's probability.</summary>
    /// <value>The default value is null: one for <see cref="Confidence.JsdContrastive"/>, the plausible set's mass for
    /// <see cref="Confidence.WeightedContrastive"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration's.</exception>
    public PlausibleSetWeight? PlausibleSetWeight
    {
        get => _plausibleSetWeight;
        init => _plausibleSetWeight = value is null || Enum.IsDefined(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(PlausibleSetWeight), value, "PlausibleSetWeight must be One or Mass.");
    }

    /// <summary>Which token is chosen at an exit.</summary>
    /// <value>The default value is <see cref="ContrastiveToken.Expert"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration's.</exception>
    public ContrastiveToken Token
    {
        get => _token;
        init => _token = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Token), value, "Token must be Expert or Contrastive.");
    }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>Reads the options that the fields of an object are.</summary>
    internal static ContrastiveOptions Read(JsonFields fields)
    {
        var options = new ContrastiveOptions();
        options = fields.Set(options, "alpha", o => o with { Alpha = fields.GetSingle("alpha") });
        bool falls = fields.Set(false, "alphaSchedule", _ => fields.GetChoice("alphaSchedule", ("constant", false), ("hyperbolic", true)));
        options = fields.Set(options with { DecayRate = DefaultDecayRate }, "decayRate", o => o with { DecayRate = fields.GetSingle("decayRate") });
        if (!falls)
            options = options with { DecayRate = null };
        options = fields.Set(
            options, "plausibility", o => o with { PlausibilityFromPruning = fields.GetChoice("plausibility", ("head", false), ("pruning", true)) });
        options = fields.Set(
            options, "amateurs", o => o with { AmateursBelowMinimumLayer = fields.GetChoice("amateurs", ("fromMinimumLayer", false), ("all", true)) });
        options = fields.SetUnlessNull(options, "headWeight", o => o with
        {
            PlausibleSetWeight = fields.GetChoice("headWeight", ("one", EarlyExit.PlausibleSetWeight.One), ("headMass", EarlyExit.PlausibleSetWeight.Mass)),
        });
        return fields.Set(options, "token", o => o with
        {
            Token = fields.GetChoice("token", ("expert", ContrastiveToken.Expert), ("contrastive", ContrastiveToken.Contrastive)),
        });
    }

    /// <summary>Writes an object that <see cref="Read"/> reads.</summary>
    internal void Write(Utf8JsonWriter writer, string field)
    {
        writer.WriteStartObject(field);
        writer.WriteNumber("alpha", Alpha);
        writer.WriteString("alphaSchedule", DecayRate is null ? "constant" : "hyperbolic");
        writer.WriteNumber("decayRate", DecayRate ?? DefaultDecayRate);
        writer.WriteString("plausibility", PlausibilityFromPruning ? "pruning" : "head");
        writer.WriteString("amateurs", AmateursBelowMinimumLayer ? "all" : "fromMinimumLayer");
        if (PlausibleSetWeight is { } weight)
            writer.WriteString("headWeight", weight == EarlyExit.PlausibleSetWeight.One ? "one" : "headMass");
        writer.WriteString("token", Token == ContrastiveToken.Expert ? "expert" : "contrastive");
        writer.WriteEndObject();
    }
}
