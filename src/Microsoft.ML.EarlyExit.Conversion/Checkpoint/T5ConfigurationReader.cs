using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>Reads <c>config.json</c> and <c>generation_config.json</c> with the defaults of transformers.</summary>
internal static class T5ConfigurationReader
{
    /// <summary>The activations by their name in <c>feed_forward_proj</c>. Plain "gelu" is the erf form there, which no T5 uses; "gated-gelu" means the tanh
    /// form.</summary>
    private static readonly Dictionary<string, (T5Activation Activation, bool Gated)> FeedForwards = new()
    {
        ["relu"] = (T5Activation.Relu, false),
        ["silu"] = (T5Activation.Silu, false),
        ["gelu_new"] = (T5Activation.GeluTanh, false),
        ["gated-relu"] = (T5Activation.Relu, true),
        ["gated-silu"] = (T5Activation.Silu, true),
        ["gated-gelu"] = (T5Activation.GeluTanh, true),
    };

    public static CheckpointConfiguration Read(string folder)
    {
        string path = Path.Combine(folder, "config.json");
        if (!Path.Exists(path))
        {
            throw new InvalidModelException($"'{folder}' has no config.json; a T5 checkpoint as saved by transformers is expected.");
        }

        string generationPath = Path.Combine(folder, "generation_config.json");
        using CheckpointJson config = CheckpointJson.Open(path);
        using CheckpointJson? generation = Path.Exists(generationPath) ? CheckpointJson.Open(generationPath) : null;
        var warnings = new List<string>();
        T5Configuration model = GenerationSettings.Read(ReadModel(config, generation), config, generation, warnings);
        string[] files = [.. new[] { config, generation }.OfType<CheckpointJson>().Select(file => Path.GetFileName(file.Path))];
        return new CheckpointConfiguration(model, config.OptionalBoolean("tie_word_embeddings") ?? true, warnings, files);
    }

    private static T5Configuration ReadModel(CheckpointJson config, CheckpointJson? generation)
    {
        string? modelType = config.OptionalString("model_type");
        if (modelType is not ("t5" or "mt5"))
        {
            throw new InvalidModelException(
                $"'{config.Path}': 'model_type' is {(modelType is null ? "missing" : $"'{CheckpointText.Shown(modelType)}'")}; 't5' and 'mt5' are supported.");
        }

        int vocabulary = config.RequiredInteger("vocab_size", 2, T5ConfigurationLimits.VocabularySize);
        int encoderLayers = config.RequiredInteger("num_layers", 1, T5ConfigurationLimits.LayerCount);
        int buckets = config.OptionalInteger("relative_attention_num_buckets", 4, T5ConfigurationLimits.BucketCount) ?? 32;

        // The decoder gives half of the buckets to one distance each and spreads the rest over log(distance / half) up to this one.
        int minimumDistance = (buckets / 2) + 1;
        int distance = config.OptionalInteger("relative_attention_max_distance", minimumDistance, T5ConfigurationLimits.MaxDistance)
            ?? (minimumDistance <= 128 ? 128 : throw new InvalidModelException(
                $"'{config.Path}': 'relative_attention_max_distance' is missing, and its default of 128 is too little for {buckets} buckets: at least "
                + $"{minimumDistance} is needed."));
        (T5Activation activation, bool gated) = FeedForward(config, modelType);
        int pad = Id("pad_token_id") ?? 0;
        return new T5Configuration
        {
            VocabularySize = vocabulary,
            ModelDimension = config.RequiredInteger("d_model", 1, T5ConfigurationLimits.ModelDimension),
            KeyValueDimension = config.RequiredInteger("d_kv", 1, T5ConfigurationLimits.KeyValueDimension),
            HeadCount = config.RequiredInteger("num_heads", 1, T5ConfigurationLimits.HeadCount),
            FeedForwardDimension = config.RequiredInteger("d_ff", 1, T5ConfigurationLimits.FeedForwardDimension),
            EncoderLayerCount = encoderLayers,
            DecoderLayerCount = config.OptionalInteger("num_decoder_layers", 1, T5ConfigurationLimits.LayerCount) ?? encoderLayers,
            Activation = activation,
            GatedFeedForward = gated,
            RelativeAttentionBucketCount = buckets,
            RelativeAttentionMaxDistance = distance,
            LayerNormEpsilon = config.OptionalPositive("layer_norm_epsilon", 1f) ?? 1e-6f,
            ScaleDecoderOutputs = config.OptionalBoolean("scale_decoder_outputs") ?? config.OptionalBoolean("tie_word_embeddings") ?? true,
            PadTokenId = pad,
            EndOfSequenceTokenId = generation?.OptionalSingleInteger("eos_token_id", 0, vocabulary - 1)
                ?? config.OptionalSingleInteger("eos_token_id", 0, vocabulary - 1)
                ?? 1,
            DecoderStartTokenId = Id("decoder_start_token_id") ?? pad,
        };

        int? Id(string field) => generation?.OptionalInteger(field, 0, vocabulary - 1) ?? config.OptionalInteger(field, 0, vocabulary - 1);
    }

    private static (T5Activation Activation, bool Gated) FeedForward(CheckpointJson config, string modelType)
    {
        string name = config.OptionalString("feed_forward_proj") ?? (modelType == "mt5" ? "gated-gelu" : "relu");
        return FeedForwards.TryGetValue(name, out (T5Activation, bool) feedForward)
            ? feedForward
            : throw new InvalidModelException(
                $"'{config.Path}': 'feed_forward_proj' is '{CheckpointText.Shown(name)}'; supported are {string.Join(", ", FeedForwards.Keys)}.");
    }
}
