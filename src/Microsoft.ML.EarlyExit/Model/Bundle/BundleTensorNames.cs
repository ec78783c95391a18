namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>The tensors that the library reads itself.</summary>
/// <param name="Embedding">[V, d], one row per token.</param>
/// <param name="Head">[V, d], the LM head's rows; the same tensor as the embedding where they are tied.</param>
/// <param name="DecoderFinalNorm">[d].</param>
/// <param name="DecoderRelativeBias">[distances, heads]: the self-attention bias of a key so many positions back; the last row holds for all beyond.</param>
internal sealed record BundleTensorNames(string Embedding, string Head, string DecoderFinalNorm, string DecoderRelativeBias);
