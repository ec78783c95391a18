using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>
/// A consistent T5 checkpoint with random weights, for any sizes, that a test may tamper with before it is written:
/// change <see cref="Tensors"/>, <see cref="Config"/> and <see cref="GenerationConfig"/>, or set <see cref="EditHeader"/> and <see cref="EditIndex"/>.
/// </summary>
internal sealed class TinyCheckpoint
{
    /// <param name="configuration">Sizes and conventions; null: <see cref="Sizes"/>.</param>
    /// <param name="dataType">How the weights are stored.</param>
    /// <param name="ownHead">Whether there is an <c>lm_head.weight</c>.</param>
    /// <param name="shards">Files; 1: model.safetensors alone, without an index.</param>
    /// <param name="seed">Of the weights.</param>
    public TinyCheckpoint(
        T5Configuration? configuration = null, CheckpointDataType dataType = CheckpointDataType.F32, bool ownHead = false, int shards = 1, int seed = 1)
    {
        Configuration = configuration ?? Sizes;
        Shards = shards;
        Tensors = CreateTensors(Configuration, dataType, ownHead, new Random(seed));
        Config = CreateConfig(Configuration);
        if (Configuration.MaxNewTokens is int limit)
        {
            GenerationConfig = new JsonObject { ["max_new_tokens"] = limit };
        }
    }

    /// <summary>Small, with no two sizes equal.</summary>
    public static T5Configuration Sizes { get; } = new()
    {
        VocabularySize = 37,
        ModelDimension = 12,
        KeyValueDimension = 5,
        HeadCount = 3,
        FeedForwardDimension = 20,
        EncoderLayerCount = 2,
        DecoderLayerCount = 4,
        Activation = T5Activation.Relu,
        GatedFeedForward = false,
        RelativeAttentionBucketCount = 8,
        RelativeAttentionMaxDistance = 16,
        LayerNormEpsilon = 1e-6f,
        ScaleDecoderOutputs = true,
        PadTokenId = 0,
        EndOfSequenceTokenId = 1,
        DecoderStartTokenId = 0,
    };

    public T5Configuration Configuration { get; }

    public int Shards { get; }

    public List<TinyTensor> Tensors { get; }

    public JsonObject Config { get; }

    public JsonObject? GenerationConfig { get; set; }

    /// <summary>Changes the header of each weights file (its name is given) after it was built.</summary>
    public Action<string, JsonObject>? EditHeader { get; set; }

    /// <summary>Changes the index of a checkpoint in shards.</summary>
    public Action<JsonObject>? EditIndex { get; set; }

    public TinyTensor this[string name] => Tensors.Single(tensor => tensor.Name == name);

    /// <summary>A whole safetensors file, of a header that may say anything.</summary>
    public static byte[] Safetensors(string header, byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        return [.. length, .. json, .. data];
    }

    /// <summary>A header that tells the truth.</summary>
    public static JsonObject Header(IEnumerable<TinyTensor> tensors)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        long position = 0;
        foreach (TinyTensor tensor in tensors)
        {
            long end = position + tensor.ToBytes().Length;
            header[tensor.Name] = new JsonObject
            {
                ["dtype"] = tensor.DataType.ToString(),
                ["shape"] = new JsonArray([.. tensor.Shape.Select(dimension => JsonValue.Create(dimension))]),
                ["data_offsets"] = new JsonArray(position, end),
            };
            position = end;
        }

        return header;
    }

    public void Replace(string name, Func<TinyTensor, TinyTensor> change)
    {
        int i = Tensors.FindIndex(tensor => tensor.Name == name);
        Tensors[i] = change(Tensors[i]);
    }

    /// <summary>Writes the checkpoint's files into a folder that exists.</summary>
    public void Write(string folder)
    {
        File.WriteAllText(Path.Combine(folder, "config.json"), Config.ToJsonString());
        if (GenerationConfig is not null)
        {
            File.WriteAllText(Path.Combine(folder, "generation_config.json"), GenerationConfig.ToJsonString());
        }

        if (Shards == 1)
        {
            WriteWeights(folder, "model.safetensors", Tensors);
            return;
        }

        var map = new JsonObject();
        for (int i = 0; i < Shards; i++)
        {
            string name = $"model-{i + 1:D5}-of-{Shards:D5}.safetensors";
            List<TinyTensor> part = [.. Tensors.Where((_, position) => position % Shards == i)];
            foreach (TinyTensor tensor in part)
            {
                map[tensor.Name] = name;
            }

            WriteWeights(folder, name, part);
        }

        var index = new JsonObject { ["metadata"] = new JsonObject(), ["weight_map"] = map };
        EditIndex?.Invoke(index);
        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), index.ToJsonString());
    }

    /// <summary>The config.json that says so.</summary>
    public static JsonObject CreateConfig(T5Configuration configuration) => new()
    {
        ["model_type"] = "t5",
        ["vocab_size"] = configuration.VocabularySize,
        ["d_model"] = configuration.ModelDimension,
        ["d_kv"] = configuration.KeyValueDimension,
        ["d_ff"] = configuration.FeedForwardDimension,
        ["num_layers"] = configuration.EncoderLayerCount,
        ["num_decoder_layers"] = configuration.DecoderLayerCount,
        ["num_heads"] = configuration.HeadCount,
        ["relative_attention_num_buckets"] = configuration.RelativeAttentionBucketCount,
        ["relative_attention_max_distance"] = configuration.RelativeAttentionMaxDistance,
        ["layer_norm_epsilon"] = configuration.LayerNormEpsilon,
        ["feed_forward_proj"] = (configuration.Activation, configuration.GatedFeedForward) switch
        {
            (T5Activation.Relu, false) => "relu",
            (T5Activation.Relu, true) => "gated-relu",
            (T5Activation.Silu, false) => "silu",
            (T5Activation.Silu, true) => "gated-silu",
            (_, false) => "gelu_new",
            (_, true) => "gated-gelu",
        },
        ["tie_word_embeddings"] = configuration.ScaleDecoderOutputs,
        ["pad_token_id"] = configuration.PadTokenId,
        ["eos_token_id"] = configuration.EndOfSequenceTokenId,
        ["decoder_start_token_id"] = configuration.DecoderStartTokenId,
    };

    private static List<TinyTensor> CreateTensors(T5Configuration configuration, CheckpointDataType dataType, bool ownHead, Random random)
    {
        int model = configuration.ModelDimension;
        int inner = configuration.HeadCount * configuration.KeyValueDimension;
        int feedForward = configuration.FeedForwardDimension;
        var tensors = new List<TinyTensor>();
        Matrix("shared", configuration.VocabularySize, model, 1);
        if (ownHead)
        {
            Matrix("lm_head", configuration.VocabularySize, model, 1);
        }

        Stack("encoder", configuration.EncoderLayerCount, decoder: false);
        Stack("decoder", configuration.DecoderLayerCount, decoder: true);
        return tensors;

        void Stack(string stack, int layers, bool decoder)
        {
            for (int i = 0; i < layers; i++)
            {
                Attention($"{stack}.block.{i}.layer.0.", "SelfAttention");
                if (decoder)
                {
                    Attention($"{stack}.block.{i}.layer.1.", "EncDecAttention");
                }

                string last = $"{stack}.block.{i}.layer.{(decoder ? 2 : 1)}.";
                if (configuration.GatedFeedForward)
                {
                    Matrix($"{last}DenseReluDense.wi_0", feedForward, model, 2);
                    Matrix($"{last}DenseReluDense.wi_1", feedForward, model, 2);
                }
                else
                {
                    Matrix($"{last}DenseReluDense.wi", feedForward, model, 2);
                }

                Matrix($"{last}DenseReluDense.wo", model, feedForward, 2);
                Norm($"{last}layer_norm");
            }

            Matrix($"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias", configuration.RelativeAttentionBucketCount, configuration.HeadCount, 2);
            Norm($"{stack}.final_layer_norm");
        }

        void Attention(string layer, string kind)
        {
            // T5 does not divide scores by the square root of the head width; its query weights are small instead.
            Matrix($"{layer}{kind}.q", inner, model, 1.7f / MathF.Sqrt(configuration.KeyValueDimension));
            Matrix($"{layer}{kind}.k", inner, model, 1.7f);
            Matrix($"{layer}{kind}.v", inner, model, 1.7f);
            Matrix($"{layer}{kind}.o", model, inner, 1.7f);
            Norm($"{layer}layer_norm");
        }

        void Matrix(string name, int rows, int columns, float scale) =>
            tensors.Add(TinyTensor.Random(
                $"{name}.weight", [rows, columns], dataType, random, name is "shared" or "lm_head" ? scale : scale / MathF.Sqrt(columns)));

        void Norm(string name) => tensors.Add(TinyTensor.Random($"{name}.weight", [model], dataType, random, 0.3f, mean: 1));
    }

    private void WriteWeights(string folder, string name, IReadOnlyList<TinyTensor> tensors)
    {
        JsonObject header = Header(tensors);
        EditHeader?.Invoke(name, header);
        File.WriteAllBytes(Path.Combine(folder, name), Safetensors(header.ToJsonString(), [.. tensors.SelectMany(tensor => tensor.ToBytes())]));
    }
}
