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

    /// <summary>Ends the name of what has the scales of the tensor that is called so otherwise.</summary>
    public const string ScalesSuffix = ".scales";

    /// <summary>Whether a tensor is a matrix of a product or has a row per token, whose precision can be chosen; norms and position biases are small.</summary>
    public static bool IsMatrix(string name) => name.Split('.')[^1] is not ("norm" or "final_norm" or "relative_bias" or "scales");

    /// <summary>Whether a tensor is a matrix of a product within a layer.</summary>
    public static bool IsLayerMatrix(string name) => name.Split('.')[^1] is "q" or "kv" or "o" or "wi" or "wi_0" or "wi_1" or "wo";

    /// <summary>Whether a tensor is of the decoder, and not of the encoder.</summary>
    public static bool IsOfDecoder(string name) => name.StartsWith("decoder.", StringComparison.Ordinal);

    /// <summary>The name of a tensor's scales.</summary>
    public static string Scales(string name) => name + ScalesSuffix;
}
