using Microsoft.ML.EarlyExit.Evaluation.Outcomes;

namespace Microsoft.ML.EarlyExit.Model;

/// <summary>The largest sizes that are taken for a model's: anything above is a damaged or hostile file.</summary>
internal static class T5ConfigurationLimits
{
    public const int VocabularySize = 1 << 22;
    public const int ModelDimension = 1 << 16;
    public const int KeyValueDimension = 1 << 13;
    public const int HeadCount = 1 << 10;
    public const int FeedForwardDimension = 1 << 20;
    public const int LayerCount = GenerationLimits.LayerCount;
    public const int BucketCount = 1 << 16;
    public const int MaxDistance = 1 << 20;

    /// <summary>Bytes of a stack's table of biases by distance and head.</summary>
    public const int RelativeBiasBytes = 64 << 20;

    /// <summary>Tokens of an input or an output.</summary>
    public const int TokenCount = 1 << 20;
}
