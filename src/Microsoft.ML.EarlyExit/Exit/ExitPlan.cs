namespace Microsoft.ML.EarlyExit;

/// <summary>An exit policy worked out for one model and one limit of tokens: which blocks run as one, and what is asked between them.</summary>
internal sealed class ExitPlan
{
    private readonly ThresholdSchedule? _thresholds;

    private ExitPlan(IReadOnlyList<DecoderSegment> segments, Confidence? confidence, ThresholdSchedule? thresholds)
    {
        Segments = segments;
        Confidence = confidence;
        _thresholds = thresholds;
    }

    /// <summary>The blocks in order, in groups between which no token can leave.</summary>
    public IReadOnlyList<DecoderSegment> Segments { get; }

    /// <summary>The measure asked after every segment but the last; null where no token is ever asked.</summary>
    public Confidence? Confidence { get; }

    /// <summary>The layer after which every token that is still running leaves.</summary>
    public int LastLayer => Segments[^1].LastLayer;

    public static ExitPlan Create(ExitPolicy? policy, int layerCount, int maxNewTokens)
    {
        policy?.Validate(layerCount);
        int only = policy is null ? layerCount : policy.StaticExitLayer ?? (policy.MinimumLayer == layerCount ? layerCount : 0);
        if (only > 0)
            return new ExitPlan([new DecoderSegment(1, only)], null, null);

        var segments = new List<DecoderSegment> { new(1, policy!.MinimumLayer) };
        for (int layer = policy.MinimumLayer + 1; layer <= layerCount; layer++)
            segments.Add(new DecoderSegment(layer, layer));
        return new ExitPlan(segments, policy.Confidence, new ThresholdSchedule(policy, layerCount, maxNewTokens));
    }

    /// <summary>Whether a token of that confidence leaves: strictly above the threshold, so that threshold 1 is the full model.</summary>
    public bool Leaves(float confidence, int layer, int position) => confidence > _thresholds!.At(layer, position);
}
