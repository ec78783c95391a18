namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>What <see cref="ExitPolicy.ReferenceCompatible"/> refuses beyond what its measure does: what the published code cannot run.</summary>
internal static class ReferenceRules
{
    /// <summary>Checks a policy's pruning.</summary>
    /// <exception cref="ArgumentException">The published code fails there; the message says where.</exception>
    public static void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        if (!policy.Pruning.Prunes)
            return;
        if (!policy.FullVocabularyAtLastLayer)
        {
            throw new ArgumentException(
                "ReferenceCompatible and FullVocabularyAtLastLayer = false exclude each other: the published code takes the full vocabulary there.");
        }

        int layer = policy.FirstEvaluatedLayer;
        int listed = policy.Pruning.FirstSize(layer, configuration.DecoderLayerCount);
        if (listed > configuration.VocabularySize)
        {
            throw new ArgumentException(
                $"With ReferenceCompatible, Pruning lists {listed} tokens at layer {layer}, more than the vocabulary's {configuration.VocabularySize}: "
                + "the published code fails there.");
        }
    }
}
