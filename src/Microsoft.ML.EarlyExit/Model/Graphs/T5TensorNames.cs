namespace Microsoft.ML.EarlyExit.Model.Graphs;

/// <summary>Names of tensors in the weights file that stand outside the layers; a layer's are <c>encoder.0.self.q</c>, <c>decoder.3.ff.wo</c> and so
/// on.</summary>
internal static class T5TensorNames
{
    public const string Embedding = "embedding";
    public const string Head = "head";
    public const string EncoderRelativeBias = "encoder.relative_bias";
    public const string EncoderFinalNorm = "encoder.final_norm";
    public const string DecoderRelativeBias = "decoder.relative_bias";
    public const string DecoderFinalNorm = "decoder.final_norm";

    /// <summary>Whether a tensor is a matrix of a product or has a row per token, whose precision can be chosen; norms and position biases are small.</summary>
    public static bool IsMatrix(string name) => name.Split('.')[^1] is not ("norm" or "final_norm" or "relative_bias");
}
