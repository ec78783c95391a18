using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Checkpoints of the published T5 shapes with random weights: for speed only, what they generate says nothing.</summary>
internal static class RandomT5
{
    private const int HeadWidth = 64;
    private const int Vocabulary = 32128;
    private const int Buckets = 32;

    public static void Make(string shape, string folder)
    {
        WriteConfiguration(shape, folder);
        WriteWeights(shape, folder, (_, _, _) => { });
    }

    /// <summary>Writes the checkpoint's <c>config.json</c>.</summary>
    public static void WriteConfiguration(string shape, string folder)
    {
        (int width, int heads, int feedForward, int layers) = Sizes(shape);
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(new
        {
            model_type = "t5",
            vocab_size = Vocabulary,
            d_model = width,
            d_kv = HeadWidth,
            d_ff = feedForward,
            num_layers = layers,
            num_decoder_layers = layers,
            num_heads = heads,
            relative_attention_num_buckets = Buckets,
            relative_attention_max_distance = 128,
            feed_forward_proj = "relu",
            tie_word_embeddings = true,
            layer_norm_epsilon = 1e-6,
            decoder_start_token_id = 0,
            pad_token_id = 0,
            eos_token_id = 1,
        }));
    }

    /// <summary>Writes the weights.</summary>
    /// <param name="shape">The published shape.</param>
    /// <param name="folder">The checkpoint's.</param>
    /// <param name="edit">Is given every tensor's name, its shape and its random values, to change these.</param>
    public static void WriteWeights(string shape, string folder, Action<string, int[], Span<float>> edit)
    {
        (int width, int heads, int feedForward, int layers) = Sizes(shape);
        Write(Path.Combine(folder, "model.safetensors"), Tensors(width, heads, feedForward, layers), edit);
    }

    private static (int Width, int Heads, int FeedForward, int Layers) Sizes(string shape) => shape switch
    {
        "large" => (1024, 16, 4096, 24),
        "base" => (768, 12, 3072, 12),
        "small" => (512, 8, 2048, 6),
        _ => throw new ArgumentException($"'{shape}' is not large, base or small."),
    };

    private static List<(string Name, int[] Shape, float Deviation)> Tensors(int width, int heads, int feedForward, int layers)
    {
        int inner = heads * HeadWidth;
        var tensors = new List<(string Name, int[] Shape, float Deviation)> { ("shared.weight", [Vocabulary, width], 1) };
        foreach (string stack in new[] { "encoder", "decoder" })
        {
            for (int layer = 0; layer < layers; layer++)
            {
                string block = $"{stack}.block.{layer}.layer";
                AddAttention($"{block}.0", "SelfAttention");
                if (layer == 0)
                    tensors.Add(($"{block}.0.SelfAttention.relative_attention_bias.weight", [Buckets, heads], Deviation(width)));
                if (stack == "decoder")
                    AddAttention($"{block}.1", "EncDecAttention");
                string last = $"{block}.{(stack == "decoder" ? 2 : 1)}";
                tensors.Add(($"{last}.DenseReluDense.wi.weight", [feedForward, width], Deviation(width)));
                tensors.Add(($"{last}.DenseReluDense.wo.weight", [width, feedForward], Deviation(feedForward)));
                tensors.Add(($"{last}.layer_norm.weight", [width], 0));
            }

            tensors.Add(($"{stack}.final_layer_norm.weight", [width], 0));
        }

        return tensors;

        void AddAttention(string at, string name)
        {
            tensors.Add(($"{at}.{name}.q.weight", [inner, width], Deviation(width * HeadWidth)));
            tensors.Add(($"{at}.{name}.k.weight", [inner, width], Deviation(width)));
            tensors.Add(($"{at}.{name}.v.weight", [inner, width], Deviation(width)));
            tensors.Add(($"{at}.{name}.o.weight", [width, inner], Deviation(inner)));
            tensors.Add(($"{at}.layer_norm.weight", [width], 0));
        }

        static float Deviation(int fanIn) => 1 / MathF.Sqrt(fanIn);
    }

    private static void Write(string path, List<(string Name, int[] Shape, float Deviation)> tensors, Action<string, int[], Span<float>> edit)
    {
        var header = new Dictionary<string, object>();
        long offset = 0;
        foreach ((string name, int[] shape, _) in tensors)
        {
            long end = offset + (shape.Aggregate(1L, (product, size) => product * size) * sizeof(float));
            header[name] = new { dtype = "F32", shape, data_offsets = new[] { offset, end } };
            offset = end;
        }

        byte[] json = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(header));
        using FileStream stream = File.Create(path);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        stream.Write(length);
        stream.Write(json);
        var random = new Random(1);
        foreach ((string name, int[] shape, float deviation) in tensors)
        {
            float[] values = new float[shape.Aggregate(1L, (product, size) => product * size)];
            // Uniform numbers of the wanted deviation; norms are one.
            float range = deviation * MathF.Sqrt(12);
            foreach (ref float value in values.AsSpan())
                value = deviation == 0 ? 1 : (random.NextSingle() - 0.5f) * range;
            edit(name, shape, values);
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan()));
        }
    }
}
