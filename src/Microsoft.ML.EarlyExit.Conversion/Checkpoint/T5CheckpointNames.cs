namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>Names of tensors in a Hugging Face T5 checkpoint that stand outside the layers.</summary>
internal static class T5CheckpointNames
{
    public const string Embedding = "shared.weight";
    public const string Head = "lm_head.weight";
}
