using System.Text;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Reference;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// When a token exits the decoder: after block <c>l</c>, from <see cref="MinimumLayer"/> on, before the last, and in <see cref="AskLayers"/>, the confidence
/// is compared with the threshold, and a token whose confidence is above it exits (section 4.1 of the paper). Immutable; every value is checked where it is
/// given, and what depends on the model's depth when the policy meets a model.
/// </summary>
[JsonConverter(typeof(ExitPolicyConverter))]
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
    private readonly IReadOnlyList<int>? _askLayers;
    private readonly int? _askNearPrevious;
    private readonly float _thresholdTemperature;
    private readonly Confidence _confidence = Confidence.SoftmaxMargin;
    private readonly VocabularyPruning _pruning = VocabularyPruning.None;
    private readonly int? _staticExitLayer;
    private readonly StatePropagation _statePropagation;

    /// <summary>The first layer a token may exit after, j in the paper: 1 to L; at L no token exits early.</summary>
    /// <value>The default value is 1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int MinimumLayer
    {
        get => _minimumLayer ?? Defaults.MinimumLayer;
        init => _minimumLayer = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MinimumLayer), value, "MinimumLayer must be from 1 to the number of decoder layers.");
    }

    /// <summary>
    /// The layers after which a confidence is computed, 1 to L - 1; those below <see cref="MinimumLayer"/> are not used. A token can exit only there, and the
    /// blocks between two of them run as one. What pruning says of the layer before is then said of the one asked before. Not together with
    /// <see cref="StaticExitLayer"/>, <see cref="ShallowDeep"/>, <see cref="ReferenceCompatible"/> or a contrastive confidence, which compares with every
    /// layer.
    /// </summary>
    /// <remarks>A confidence takes as long as several blocks where the LM head is large, so that asking after every third layer, say, can be faster though
    /// tokens exit a little later.</remarks>
    /// <value>The default value is null: every layer from <see cref="MinimumLayer"/> on. Given layers are kept in rising order.</value>
    /// <exception cref="ArgumentException">There is none, or one occurs twice.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A layer is below 1.</exception>
    public IReadOnlyList<int>? AskLayers
    {
        get => _askLayers;
        init => _askLayers = value is null ? null : Layers(value, nameof(AskLayers));
    }

    /// <summary>
    /// Asks only near the layer that the token before exited after: of the layers that are asked after, it or the next one above it, and so many on either
    /// side; after a token that did not exit early, so many of the last ones. A token that exits after none of them runs all layers. The first token is asked
    /// after all. Pruning ranks at the first layer that a token is asked after; what it takes by default from the first layer, it takes from the first of all.
    /// Not together with <see cref="StaticExitLayer"/>, <see cref="ShallowDeep"/>, <see cref="SelfSpeculation"/>, <see cref="ReferenceCompatible"/> or a
    /// contrastive confidence.
    /// </summary>
    /// <value>At least 1. The default value is null: all are asked after.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int? AskNearPrevious
    {
        get => _askNearPrevious;
        init => _askNearPrevious = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(AskNearPrevious), value, "AskNearPrevious must be at least 1.");
    }

    /// <summary>The threshold of all layers, in [0, 1]. At 1 no token exits early.</summary>
    /// <value>The default value is 0.9.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside [0, 1].</exception>
    public float Threshold
    {
        get => _threshold ?? Defaults.Threshold;
        init => _threshold = InUnitInterval(value, nameof(Threshold));
    }

    /// <summary>
    /// One threshold per layer, L numbers in [0, 1] for layers 1 to L; those below <see cref="MinimumLayer"/>, at L, and of layers that are not in
    /// <see cref="AskLayers"/> are not used. Not together with <see cref="Threshold"/>.
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

    /// <summary>How many tokens stay alive from layer to layer.</summary>
    /// <value>The default value is <see cref="VocabularyPruning.None"/>.</value>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public VocabularyPruning Pruning
    {
        get => _pruning;
        init => _pruning = value ?? throw new ArgumentNullException(nameof(Pruning));
    }

    /// <summary>Whether the last layer chooses from the full vocabulary, which gives the better text, or, with pruning, from what is alive there, which is
    /// faster.</summary>
    /// <value>The default value is true.</value>
    public bool FullVocabularyAtLastLayer { get; init; } = true;

    /// <summary>One exit for all tokens, after which a token runs all layers. Not together with <see cref="MinimumLayer"/>, <see cref="Thresholds"/> or
    /// <see cref="StaticExitLayer"/>.</summary>
    /// <value>The default value is null: tokens may exit after every layer from <see cref="MinimumLayer"/> on.</value>
    public ShallowDeep? ShallowDeep { get; init; }

    /// <summary>Whether tokens that exit early are drafts, which the deeper blocks verify, so that the output is that of full depth.</summary>
    /// <value>The default value is null: tokens that exit early are final.</value>
    public SelfSpeculation? SelfSpeculation { get; init; }

    /// <summary>
    /// Whether the deviations of the paper's published code from its definitions are followed, to compare with that code: cuts keep the lowest ids rather than
    /// the best tokens; adaptive cuts take a share of the full vocabulary, and a set can grow again; tokens outside the plausible set of a weighted contrastive
    /// measure score 0; contrastive amateurs are layers 2 to l - 1 and nothing is clamped; thresholds decay in another way; and what that code cannot run is
    /// refused.
    /// </summary>
    /// <value>The default value is false.</value>
    public bool ReferenceCompatible { get; init; }

    /// <summary>The layer every token exits after, 1 to L, without any confidence. Not together with <see cref="MinimumLayer"/> or thresholds.</summary>
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
    /// Where deeper layers get the keys and values of a token that exited. <see cref="EarlyExit.StatePropagation.ParallelDecoding"/> not together with
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

    /// <summary>Reads a policy file: one that <see cref="Save"/> or <see cref="ExitClassifier.Save"/> wrote, or one for the tool.</summary>
    /// <param name="filePath">The file; a pipe is read to its end.</param>
    /// <returns>The policy. What depends on a model is checked where it meets one.</returns>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file must not be read, or the path is a folder.</exception>
    /// <exception cref="InvalidDataException">The file is no policy: it is not JSON, or a field is unknown, occurs twice or has an impossible value; the
    /// message names it.</exception>
    public static ExitPolicy Load(string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        using FileStream stream = File.OpenRead(filePath);
        return ExitPolicyJson.Parse(stream, filePath);
    }

    /// <summary>Reads a policy from the text of a policy file.</summary>
    /// <param name="json">What <see cref="ToJson"/> gives.</param>
    /// <returns>The policy. What depends on a model is checked where it meets one.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="json"/> is null.</exception>
    /// <exception cref="InvalidDataException">The text is no policy, as in <see cref="Load"/>; the message names the field.</exception>
    public static ExitPolicy Parse(string json)
    {
        ArgumentNullException.ThrowIfNull(json);
        return ExitPolicyJson.Parse(json, "the policy");
    }

    /// <summary>The policy as JSON, as policy files have it. Every number is written so that reading gives the same one.</summary>
    /// <returns>The text of the file that <see cref="Save"/> writes.</returns>
    public string ToJson() => ExitPolicyJson.Write(this);

    /// <summary>Saves <see cref="ToJson"/>. An older file is replaced in one step: if the process dies while saving, the file is the complete old one or the
    /// complete new one.</summary>
    /// <param name="filePath">The file; its folder must exist.</param>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The path's folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    public void Save(string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        AtomicFile.Write(filePath, "policy file", stream => stream.Write(Encoding.UTF8.GetBytes(ToJson())));
    }

    /// <summary>Whether two policies say the same; thresholds are compared number by number.</summary>
    /// <param name="other">The other one.</param>
    /// <returns>Whether they are equal.</returns>
    public bool Equals(ExitPolicy? other) =>
        other is not null
        && _minimumLayer == other._minimumLayer
        && _threshold == other._threshold
        && (_askLayers is null ? other._askLayers is null : other._askLayers is not null && _askLayers.SequenceEqual(other._askLayers))
        && _askNearPrevious == other._askNearPrevious
        && (_thresholds is null ? other._thresholds is null : other._thresholds is not null && _thresholds.SequenceEqual(other._thresholds))
        && _thresholdTemperature == other._thresholdTemperature
        && _confidence.Equals(other._confidence)
        && _pruning.Equals(other._pruning)
        && FullVocabularyAtLastLayer == other.FullVocabularyAtLastLayer
        && ShallowDeep == other.ShallowDeep
        && SelfSpeculation == other.SelfSpeculation
        && ReferenceCompatible == other.ReferenceCompatible
        && _staticExitLayer == other._staticExitLayer
        && _statePropagation == other._statePropagation;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(
        _minimumLayer, _threshold, _thresholds?.Count, _confidence, _pruning, ShallowDeep, SelfSpeculation,
        HashCode.Combine(_staticExitLayer, _statePropagation, _askLayers?.Count, _askNearPrevious));

    /// <summary>What the policy does, by the names of its options, alike in every culture; what has no part in it and what is off is left out.</summary>
    /// <returns>For instance <c>ExitPolicy { MinimumLayer = 4, Threshold = 0.9, Confidence = softmaxMargin }</c>.</returns>
    public override string ToString()
    {
        bool compares = StaticExitLayer is null;
        return MemberText.Of(nameof(ExitPolicy), MemberText.List(
        [
            (nameof(StaticExitLayer), StaticExitLayer),
            (nameof(ShallowDeep), ShallowDeep),
            (nameof(MinimumLayer), compares && ShallowDeep is null ? MinimumLayer : null),
            (nameof(AskLayers), AskLayers),
            (nameof(AskNearPrevious), AskNearPrevious),
            (nameof(Threshold), compares && Thresholds is null ? Threshold : null),
            (nameof(Thresholds), Thresholds),
            (nameof(ThresholdTemperature), ThresholdTemperature != 0 ? ThresholdTemperature : null),
            (nameof(Confidence), compares ? Confidence : null),
            (nameof(Pruning), Pruning.Prunes ? Pruning : null),
            (nameof(FullVocabularyAtLastLayer), FullVocabularyAtLastLayer ? null : false),
            (nameof(StatePropagation), StatePropagation == StatePropagation.StateCopy ? null : StatePropagation),
            (nameof(SelfSpeculation), SelfSpeculation),
            (nameof(ReferenceCompatible), ReferenceCompatible ? true : null),
        ]));
    }

    /// <summary>Whether <see cref="MinimumLayer"/> was given rather than its default taken.</summary>
    internal bool HasMinimumLayer => _minimumLayer is not null;

    /// <summary>Whether <see cref="Threshold"/> was given rather than its default taken.</summary>
    internal bool HasThreshold => _threshold is not null;

    /// <summary>The first layer after which a confidence is evaluated.</summary>
    internal int FirstEvaluatedLayer => ShallowDeep?.ExitLayer ?? AskLayers?.Cast<int?>().FirstOrDefault(layer => layer >= MinimumLayer) ?? MinimumLayer;

    private string? AskOption => AskLayers is not null ? nameof(AskLayers) : AskNearPrevious is not null ? nameof(AskNearPrevious) : null;

    /// <summary>The measure in the way that it is computed.</summary>
    internal Confidence Measure => ReferenceCompatible ? Confidence.ForReference() : Confidence;

    /// <summary>Checks the policy as a whole, and against a model.</summary>
    /// <exception cref="ArgumentException">Two options exclude each other, or one does not fit the model; the message names them.</exception>
    internal void Validate(T5Configuration configuration)
    {
        int layerCount = configuration.DecoderLayerCount;
        if (StaticExitLayer is { } staticLayer)
        {
            if (HasMinimumLayer)
                throw new ArgumentException("StaticExitLayer and MinimumLayer exclude each other: give one of them.");
            if (HasThreshold || Thresholds is not null || ThresholdTemperature != 0)
                throw new ArgumentException("StaticExitLayer and thresholds exclude each other: a static exit compares nothing.");
            if (StatePropagation == StatePropagation.ParallelDecoding && SelfSpeculation is null)
                throw new ArgumentException("StaticExitLayer and ParallelDecoding exclude each other: after a static exit no deeper block ever runs.");
            if (ShallowDeep is not null)
                throw new ArgumentException("StaticExitLayer and ShallowDeep exclude each other: give one of them.");
            if (Pruning.Prunes)
                throw new ArgumentException("StaticExitLayer and Pruning exclude each other: a static exit ranks nothing.");
            if (AskOption is { } asking)
                throw new ArgumentException($"StaticExitLayer and {asking} exclude each other: a static exit asks for no confidence.");
            CheckLayer(nameof(StaticExitLayer), staticLayer, layerCount, layerCount);
        }

        if (ShallowDeep is { } shallowDeep)
        {
            if (HasMinimumLayer)
                throw new ArgumentException("ShallowDeep and MinimumLayer exclude each other: there is one exit, after ShallowDeep.ExitLayer.");
            if (Thresholds is not null)
                throw new ArgumentException("ShallowDeep and Thresholds exclude each other: one exit has one Threshold.");
            if (AskOption is { } asking)
                throw new ArgumentException($"ShallowDeep and {asking} exclude each other: there is one exit, after ShallowDeep.ExitLayer.");
            if (Pruning.Prunes)
                throw new ArgumentException("ShallowDeep and Pruning exclude each other: with one exit there is nothing to prune for.");
            if (shallowDeep.AdaptiveThreshold && !Confidence.UsesLogits)
            {
                throw new ArgumentException(
                    $"ShallowDeep.AdaptiveThreshold and Confidence {Confidence.Name} exclude each other: it needs the shallow layer's token.");
            }

            if (shallowDeep.AdaptiveThreshold && ThresholdTemperature != 0)
                throw new ArgumentException("ShallowDeep.AdaptiveThreshold and ThresholdTemperature exclude each other: both set the threshold.");
            CheckLayer("ShallowDeep.ExitLayer", shallowDeep.ExitLayer, layerCount - 1, layerCount);
        }

        CheckLayer(nameof(MinimumLayer), MinimumLayer, layerCount, layerCount);
        if (AskOption is { } askOption)
        {
            if (ReferenceCompatible)
                throw new ArgumentException($"{askOption} and ReferenceCompatible exclude each other: the published code asks after every layer.");
            if (Confidence.ComparesLayers)
                throw new ArgumentException($"{askOption} and Confidence {Confidence.Name} exclude each other: it compares with the layers between.");
        }

        if (AskLayers is { } askLayers)
        {
            CheckLayer(nameof(AskLayers), askLayers[^1], layerCount - 1, layerCount);
            if (askLayers[^1] < MinimumLayer)
            {
                throw new ArgumentException(
                    $"AskLayers and MinimumLayer exclude each other: the last layer to ask after is {askLayers[^1]}, and MinimumLayer is {MinimumLayer}.");
            }
        }

        if (Thresholds is { } thresholds)
        {
            if (HasThreshold)
                throw new ArgumentException("Threshold and Thresholds exclude each other: give one of them.");
            if (thresholds.Count != layerCount)
            {
                throw new ArgumentException(
                    $"Thresholds has {thresholds.Count} numbers, but the model has {layerCount} decoder layers; it needs one for each.");
            }
        }

        if (SelfSpeculation is not null)
        {
            if (Confidence.ChoosesToken)
            {
                throw new ArgumentException(
                    "SelfSpeculation and ContrastiveToken.Contrastive exclude each other: drafts are verified by the full model's own choice.");
            }

            if (AskNearPrevious is not null)
            {
                throw new ArgumentException(
                    "SelfSpeculation and AskNearPrevious exclude each other: the token before a draft ran all layers because drafts were verified.");
            }

            if (ReferenceCompatible)
                throw new ArgumentException("SelfSpeculation and ReferenceCompatible exclude each other: the published code does not speculate.");
            if (!FullVocabularyAtLastLayer)
            {
                throw new ArgumentException(
                    "SelfSpeculation and FullVocabularyAtLastLayer = false exclude each other: the full model chooses from the full vocabulary.");
            }

            if (ShallowDeep is { AdaptiveThreshold: true })
                throw new ArgumentException("SelfSpeculation and ShallowDeep.AdaptiveThreshold exclude each other: drafts are verified anyway.");
        }

        if (Pruning.Prunes && !Confidence.UsesLogits)
            throw new ArgumentException($"Confidence {Confidence.Name} and Pruning exclude each other: it computes no logits, so there is nothing to rank.");
        Measure.Validate(this, configuration);
        if (ReferenceCompatible)
            ReferenceRules.Validate(this, configuration);
    }

    private static void CheckLayer(string name, int layer, int last, int layerCount)
    {
        if (layer > last)
            throw new ArgumentException($"{name} is {layer}, but the model has {layerCount} decoder layers; it must be from 1 to {last}.");
    }

    private static int[] Layers(IReadOnlyList<int> layers, string name)
    {
        int[] sorted = [.. layers.Order()];
        if (sorted.Length == 0)
            throw new ArgumentException($"{name} has no layer; leave it out for every layer from MinimumLayer on.", name);
        if (sorted[0] < 1)
            throw new ArgumentOutOfRangeException(name, sorted[0], $"{name} must be from 1 to the number of decoder layers less one.");
        for (int index = 1; index < sorted.Length; index++)
        {
            if (sorted[index] == sorted[index - 1])
                throw new ArgumentException($"{name} has layer {sorted[index]} twice.", name);
        }

        return sorted;
    }

    private static float InUnitInterval(float value, string name) =>
        value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be from 0 to 1.");
}
