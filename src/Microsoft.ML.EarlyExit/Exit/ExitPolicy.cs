namespace Microsoft.ML.EarlyExit;

/// <summary>
/// When a token leaves the decoder: after block <c>l</c>, from <see cref="MinimumLayer"/> on and before the last, the confidence is compared with the
/// threshold, and a token whose confidence is above it leaves (section 4.1 of the paper). Immutable; every value is checked where it is given, and what
/// depends on the model's depth when the policy meets a model.
/// </summary>
public sealed record ExitPolicy
{
    internal static class Defaults
    {
        public const int MinimumLayer = 1;
        public const float Threshold = 0.9f;
    }

    private readonly int? _minimumLayer;
    private readonly float? _threshold;
    private readonly IReadOnlyList<float>? _thresholds;
    private readonly float _thresholdTemperature;
    private readonly Confidence _confidence = Confidence.SoftmaxMargin;
    private readonly int? _staticExitLayer;
    private readonly StatePropagation _statePropagation;

    /// <summary>The first layer a token may leave after, j in the paper: 1 to L; at L no token leaves early.</summary>
    /// <value>The default value is 1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int MinimumLayer
    {
        get => _minimumLayer ?? Defaults.MinimumLayer;
        init => _minimumLayer = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MinimumLayer), value, "MinimumLayer must be from 1 to the number of decoder layers.");
    }

    /// <summary>The threshold of all layers, in [0, 1]. At 1 no token leaves early.</summary>
    /// <value>The default value is 0.9.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside [0, 1].</exception>
    public float Threshold
    {
        get => _threshold ?? Defaults.Threshold;
        init => _threshold = InUnitInterval(value, nameof(Threshold));
    }

    /// <summary>
    /// One threshold per layer, L numbers in [0, 1] for layers 1 to L; those below <see cref="MinimumLayer"/> and at L are not used. Not together with
    /// <see cref="Threshold"/>.
    /// </summary>
    /// <value>The default value is null: <see cref="Threshold"/> holds for all layers.</value>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside [0, 1].</exception>
    public IReadOnlyList<float>? Thresholds
    {
        get => _thresholds;
        init => _thresholds = value?.Select((threshold, index) => InUnitInterval(threshold, $"{nameof(Thresholds)}[{index}]")).ToArray();
    }

    /// <summary>
    /// T of CALM's decaying threshold (equation 5 of CALM): <c>clip(0.9 τ + 0.1 exp(-T t / N), 0, 1)</c> at position t of at most N. At least 0; 0 keeps the
    /// threshold constant.
    /// </summary>
    /// <value>The default value is 0.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number of at least 0.</exception>
    public float ThresholdTemperature
    {
        get => _thresholdTemperature;
        init => _thresholdTemperature = float.IsFinite(value) && value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ThresholdTemperature), value, "ThresholdTemperature must be a finite number of at least 0.");
    }

    /// <summary>What is compared with the threshold.</summary>
    /// <value>The default value is <see cref="EarlyExit.Confidence.SoftmaxMargin"/>.</value>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public Confidence Confidence
    {
        get => _confidence;
        init => _confidence = value ?? throw new ArgumentNullException(nameof(Confidence));
    }

    /// <summary>The layer every token leaves after, 1 to L, without any confidence. Not together with <see cref="MinimumLayer"/> or thresholds.</summary>
    /// <value>The default value is null: confidences decide.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int? StaticExitLayer
    {
        get => _staticExitLayer;
        init => _staticExitLayer = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(StaticExitLayer), value, "StaticExitLayer must be from 1 to the number of decoder layers.");
    }

    /// <summary>
    /// Where deeper layers get the keys and values of a token that left from. <see cref="EarlyExit.StatePropagation.ParallelDecoding"/> not together with
    /// <see cref="StaticExitLayer"/>, after which nothing deeper runs.
    /// </summary>
    /// <value>The default value is <see cref="EarlyExit.StatePropagation.StateCopy"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration's.</exception>
    public StatePropagation StatePropagation
    {
        get => _statePropagation;
        init => _statePropagation = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(StatePropagation), value, "StatePropagation must be StateCopy or ParallelDecoding.");
    }

    /// <summary>Whether <see cref="MinimumLayer"/> was given rather than left at its default.</summary>
    internal bool HasMinimumLayer => _minimumLayer is not null;

    /// <summary>Whether <see cref="Threshold"/> was given rather than left at its default.</summary>
    internal bool HasThreshold => _threshold is not null;

    /// <summary>Checks the policy as a whole, against a decoder of <paramref name="layerCount"/> layers.</summary>
    /// <exception cref="ArgumentException">Two options exclude each other, or one does not fit the depth; the message names them.</exception>
    internal void Validate(int layerCount)
    {
        if (StaticExitLayer is { } staticLayer)
        {
            if (HasMinimumLayer)
                throw new ArgumentException("StaticExitLayer and MinimumLayer exclude each other: give one of them.");
            if (HasThreshold || Thresholds is not null || ThresholdTemperature != 0)
                throw new ArgumentException("StaticExitLayer and thresholds exclude each other: a static exit compares nothing.");
            if (StatePropagation == StatePropagation.ParallelDecoding)
                throw new ArgumentException("StaticExitLayer and ParallelDecoding exclude each other: after a static exit no deeper block ever runs.");
            if (staticLayer > layerCount)
                throw new ArgumentException($"StaticExitLayer is {staticLayer}, but the model has {layerCount} decoder layers; it must be from 1 to {layerCount}.");
        }

        if (MinimumLayer > layerCount)
            throw new ArgumentException($"MinimumLayer is {MinimumLayer}, but the model has {layerCount} decoder layers; it must be from 1 to {layerCount}.");
        if (Thresholds is { } thresholds)
        {
            if (HasThreshold)
                throw new ArgumentException("Threshold and Thresholds exclude each other: give one of them.");
            if (thresholds.Count != layerCount)
                throw new ArgumentException($"Thresholds has {thresholds.Count} numbers, but the model has {layerCount} decoder layers; it needs one for each.");
        }
    }

    private static float InUnitInterval(float value, string name) =>
        value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be from 0 to 1.");
}
