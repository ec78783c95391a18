namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Sizes of models that there are not.</summary>
internal static class Sizes
{
    public static T5Configuration Of(int layerCount, int width = 48, int vocabularySize = 1024) => new()
    {
        VocabularySize = vocabularySize,
        ModelDimension = width,
        KeyValueDimension = 8,
        HeadCount = 6,
        FeedForwardDimension = 2 * width,
        EncoderLayerCount = layerCount,
        DecoderLayerCount = layerCount,
        Activation = T5Activation.Relu,
        GatedFeedForward = false,
        RelativeAttentionBucketCount = 32,
        RelativeAttentionMaxDistance = 128,
        LayerNormEpsilon = 1e-6f,
        ScaleDecoderOutputs = true,
        PadTokenId = 0,
        EndOfSequenceTokenId = 1,
        DecoderStartTokenId = 0,
    };
}
