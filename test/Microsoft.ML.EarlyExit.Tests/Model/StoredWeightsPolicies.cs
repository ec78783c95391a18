namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Policies that between them run every graph of a bundle, whatever its weights are stored in.</summary>
internal static class StoredWeightsPolicies
{
    public static IReadOnlyDictionary<string, ExitPolicy> All { get; } = new Dictionary<string, ExitPolicy>
    {
        ["full depth"] = new ExitPolicy { Threshold = 1 },
        ["softmax, state copying"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f },
        ["pruned"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.8f, Pruning = VocabularyPruning.Fixed(40) },
        ["saturation, parallel decoding"] = new ExitPolicy
        {
            MinimumLayer = 2, Threshold = 0.9f, Confidence = Confidence.HiddenStateSaturation, StatePropagation = StatePropagation.ParallelDecoding,
        },
        ["self-speculation"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f, SelfSpeculation = new SelfSpeculation() },
    };
}
