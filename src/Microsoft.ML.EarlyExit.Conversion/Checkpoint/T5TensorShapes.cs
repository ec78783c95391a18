namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>The tensors of a Hugging Face <c>T5ForConditionalGeneration</c>, by name, and the shapes its configuration gives them.</summary>
internal static class T5TensorShapes
{
    public const string Shared = "shared.weight";
    public const string Head = "lm_head.weight";

    /// <summary>Other names of <see cref="Shared"/>: some checkpoints repeat it under them, some (MADLAD-400) have it under one of them only.</summary>
    public static readonly IReadOnlyList<string> SharedAliases = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

    /// <summary>Left over in early checkpoints and not part of the model; transformers skips it too.</summary>
    public const string UnusedBias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

    /// <summary>The shape of <see cref="Shared"/>, its aliases and <see cref="Head"/>.</summary>
    public static int[] Embedding(T5Configuration configuration) => [configuration.VocabularySize, configuration.ModelDimension];

    /// <summary>Every tensor there must be, <see cref="Shared"/> apart.</summary>
    public static IEnumerable<(string Name, int[] Shape)> Required(T5Configuration configuration) =>
        Stack("encoder", configuration.EncoderLayerCount, isDecoder: false, configuration)
            .Concat(Stack("decoder", configuration.DecoderLayerCount, isDecoder: true, configuration));

    private static IEnumerable<(string Name, int[] Shape)> Stack(string stack, int layers, bool isDecoder, T5Configuration configuration)
    {
        int model = configuration.ModelDimension;
        int feedForward = configuration.FeedForwardDimension;
        for (int i = 0; i < layers; i++)
        {
            string block = $"{stack}.block.{i}.layer";
            int layer = 0;
            foreach (string attention in isDecoder ? ["SelfAttention", "EncDecAttention"] : (string[])["SelfAttention"])
            {
                foreach (string projection in (string[])["q", "k", "v"])
                {
                    yield return ($"{block}.{layer}.{attention}.{projection}.weight", [configuration.InnerDimension, model]);
                }

                yield return ($"{block}.{layer}.{attention}.o.weight", [model, configuration.InnerDimension]);
                yield return ($"{block}.{layer}.layer_norm.weight", [model]);
                layer++;
            }

            foreach (string projection in configuration.GatedFeedForward ? ["wi_0", "wi_1"] : (string[])["wi"])
            {
                yield return ($"{block}.{layer}.DenseReluDense.{projection}.weight", [feedForward, model]);
            }

            yield return ($"{block}.{layer}.DenseReluDense.wo.weight", [model, feedForward]);
            yield return ($"{block}.{layer}.layer_norm.weight", [model]);
        }

        yield return (
            $"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", [configuration.RelativeAttentionBucketCount, configuration.HeadCount]);
        yield return ($"{stack}.final_layer_norm.weight", [model]);
    }
}
