using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>
/// A checkpoint of four decoder layers with random weights, and the first pieces of T5's tokenizer: what it generates says nothing, but it is text, and fast.
/// </summary>
internal static class TinyTextCheckpoint
{
    public const int DecoderLayers = 4;

    private const int Width = 8;
    private const int Heads = 2;
    private const int HeadWidth = 4;
    private const int FeedForward = 8;
    private const int Pieces = 256;
    private const int ExtraIds = 100;
    private const int Vocabulary = Pieces + ExtraIds;
    private const int Buckets = 8;

    /// <summary>Writes the checkpoint into a new folder.</summary>
    public static void Write(string folder, int seed)
    {
        Directory.CreateDirectory(folder);
        byte[] tokenizer = File.ReadAllBytes(Path.Combine(Repository.Folder, "samples", "t5-restaurants", "spiece.model"));
        File.WriteAllBytes(Path.Combine(folder, "spiece.model"), FirstPieces(tokenizer));
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(new
        {
            model_type = "t5",
            vocab_size = Vocabulary,
            d_model = Width,
            d_kv = HeadWidth,
            d_ff = FeedForward,
            num_layers = 1,
            num_decoder_layers = DecoderLayers,
            num_heads = Heads,
            relative_attention_num_buckets = Buckets,
            relative_attention_max_distance = 16,
            feed_forward_proj = "relu",
            tie_word_embeddings = true,
            layer_norm_epsilon = 1e-6,
            decoder_start_token_id = 0,
            pad_token_id = 0,
            eos_token_id = 1,
        }));
        List<(string Name, int[] Shape)> tensors = [("shared.weight", [Vocabulary, Width]), .. Stack("encoder", 1), .. Stack("decoder", DecoderLayers)];
        using FileStream stream = File.Create(Path.Combine(folder, "model.safetensors"));
        WriteHeader(stream, tensors);
        var random = new Random(seed);
        foreach ((string name, int[] shape) in tensors)
        {
            float[] values = new float[shape.Aggregate(1, (product, size) => product * size)];
            foreach (ref float value in values.AsSpan())
                value = name.Contains("norm", StringComparison.Ordinal) ? 1 : (random.NextSingle() - 0.5f) * 2;
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan()));
        }
    }

    /// <summary>The sentencepiece model without the pieces after the first ones; a piece is field 1 of its message.</summary>
    private static byte[] FirstPieces(byte[] model)
    {
        const byte PieceTag = 0x0A;
        var kept = new MemoryStream();
        int pieces = 0;
        for (int at = 0; at < model.Length;)
        {
            int start = at;
            byte tag = model[at++];
            int length = 0;
            for (int shift = 0, isMore = 1; isMore != 0; shift += 7)
            {
                length |= (model[at] & 0x7F) << shift;
                isMore = model[at++] & 0x80;
            }

            at += length;
            if (tag != PieceTag || pieces++ < Pieces)
                kept.Write(model.AsSpan(start, at - start));
        }

        return kept.ToArray();
    }

    private static void WriteHeader(Stream stream, List<(string Name, int[] Shape)> tensors)
    {
        var header = new Dictionary<string, object>();
        long offset = 0;
        foreach ((string name, int[] shape) in tensors)
        {
            long end = offset + (shape.Aggregate(1L, (product, size) => product * size) * sizeof(float));
            header[name] = new { dtype = "F32", shape, data_offsets = new[] { offset, end } };
            offset = end;
        }

        byte[] json = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(header));
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        stream.Write(length);
        stream.Write(json);
    }

    private static IEnumerable<(string Name, int[] Shape)> Stack(string stack, int layers)
    {
        for (int layer = 0; layer < layers; layer++)
        {
            string block = $"{stack}.block.{layer}.layer";
            string[] attentions = stack == "encoder" ? ["SelfAttention"] : ["SelfAttention", "EncDecAttention"];
            for (int part = 0; part < attentions.Length; part++)
            {
                foreach (string projection in (string[])["q", "k", "v"])
                    yield return ($"{block}.{part}.{attentions[part]}.{projection}.weight", [Heads * HeadWidth, Width]);
                yield return ($"{block}.{part}.{attentions[part]}.o.weight", [Width, Heads * HeadWidth]);
                yield return ($"{block}.{part}.layer_norm.weight", [Width]);
            }

            if (layer == 0)
                yield return ($"{block}.0.SelfAttention.relative_attention_bias.weight", [Buckets, Heads]);
            string last = $"{block}.{attentions.Length}";
            yield return ($"{last}.DenseReluDense.wi.weight", [FeedForward, Width]);
            yield return ($"{last}.DenseReluDense.wo.weight", [Width, FeedForward]);
            yield return ($"{last}.layer_norm.weight", [Width]);
        }

        yield return ($"{stack}.final_layer_norm.weight", [Width]);
    }
}
