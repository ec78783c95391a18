using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

public sealed class T5ConfigurationReaderTests
{
    private const string Minimal = """{"model_type":"t5","vocab_size":100,"d_model":8,"d_kv":4,"d_ff":16,"num_layers":3,"num_heads":2}""";

    [Fact]
    public void Absent_keys_take_the_defaults_of_transformers()
    {
        T5Configuration expected = new()
        {
            VocabularySize = 100,
            ModelDimension = 8,
            KeyValueDimension = 4,
            HeadCount = 2,
            FeedForwardDimension = 16,
            EncoderLayerCount = 3,
            DecoderLayerCount = 3,
            Activation = T5Activation.Relu,
            GatedFeedForward = false,
            RelativeAttentionBucketCount = 32,
            RelativeAttentionMaxDistance = 128,
            LayerNormEpsilon = 1e-6f,
            ScaleDecoderOutputs = true,
            PadTokenId = 0,
            EndOfSequenceTokenId = 1,
            DecoderStartTokenId = 0,
            MaxNewTokens = null,
        };
        Assert.Equal(expected, Read());
        Assert.Equal(expected, Read(
            """{"num_decoder_layers":null,"tie_word_embeddings":null,"eos_token_id":null,"feed_forward_proj":null}""",
            """{"max_length":null,"pad_token_id":null}"""));
    }

    [Theory]
    [InlineData("relu", T5Activation.Relu, false)]
    [InlineData("silu", T5Activation.Silu, false)]
    [InlineData("gelu_new", T5Activation.GeluTanh, false)]
    [InlineData("gated-relu", T5Activation.Relu, true)]
    [InlineData("gated-gelu", T5Activation.GeluTanh, true)]
    [InlineData("gated-silu", T5Activation.Silu, true)]
    public void Feed_forwards(string name, T5Activation activation, bool gated)
    {
        T5Configuration configuration = Read($$"""{"feed_forward_proj":"{{name}}","dense_act_fn":"tanh","is_gated_act":{{(gated ? "false" : "true")}}}""");
        Assert.Equal((activation, gated), (configuration.Activation, configuration.GatedFeedForward));
    }

    [Fact]
    public void Mt5_is_gated_where_it_does_not_say()
    {
        T5Configuration configuration = Read("""{"model_type":"mt5"}""");
        Assert.Equal((T5Activation.GeluTanh, true), (configuration.Activation, configuration.GatedFeedForward));
    }

    [Theory]
    [InlineData("{}", true)]
    [InlineData("""{"tie_word_embeddings":true}""", true)]
    [InlineData("""{"tie_word_embeddings":false}""", false)]
    [InlineData("""{"tie_word_embeddings":true,"scale_decoder_outputs":false}""", false)]
    [InlineData("""{"tie_word_embeddings":false,"scale_decoder_outputs":true}""", true)]
    public void Scaling(string changes, bool scaled) => Assert.Equal(scaled, Read(changes).ScaleDecoderOutputs);

    [Theory]
    [InlineData("{}", "{}", 0, 1, 0)]
    [InlineData("""{"pad_token_id":3}""", "{}", 3, 1, 3)]
    [InlineData("""{"pad_token_id":3,"eos_token_id":4,"decoder_start_token_id":5}""", "{}", 3, 4, 5)]
    [InlineData(
        """{"pad_token_id":3,"eos_token_id":4,"decoder_start_token_id":5}""",
        """{"pad_token_id":6,"eos_token_id":7,"decoder_start_token_id":8}""", 6, 7, 8)]
    [InlineData("""{"eos_token_id":[9]}""", """{"pad_token_id":6}""", 6, 9, 6)]
    [InlineData("""{"eos_token_id":2}""", """{"eos_token_id":[99]}""", 0, 99, 0)]
    public void Ids(string changes, string generation, int pad, int end, int start)
    {
        T5Configuration configuration = Read(changes, generation);
        Assert.Equal((pad, end, start), (configuration.PadTokenId, configuration.EndOfSequenceTokenId, configuration.DecoderStartTokenId));
    }

    [Theory]
    [InlineData("{}", null, null)]
    [InlineData("{}", "{}", null)]
    [InlineData("{}", """{"max_new_tokens":7}""", 7)]
    [InlineData("{}", """{"max_length":20}""", 19)]
    [InlineData("{}", """{"max_length":20,"max_new_tokens":50}""", 50)]
    [InlineData("""{"max_length":20}""", null, 19)]
    [InlineData("""{"max_length":20,"max_new_tokens":3}""", "{}", 3)]
    [InlineData("""{"max_new_tokens":3}""", """{"max_length":20}""", 19)]
    [InlineData("""{"task_specific_params":{"x":{"max_length":200}}}""", null, null)]
    [InlineData("{}", """{"max_new_tokens":1048576}""", 1048576)]
    [InlineData("{}", """{"max_length":1048577}""", 1048576)]
    public void Token_limits(string changes, string? generation, int? limit) => Assert.Equal(limit, Read(changes, generation).MaxNewTokens);

    [Theory]
    [InlineData("layer_norm_epsilon", "1e-06", 1e-6f)]
    [InlineData("layer_norm_epsilon", "0.00001", 1e-5f)]
    [InlineData("layer_norm_epsilon", "1", 1f)]
    public void Epsilons(string field, string value, float expected) => Assert.Equal(expected, Read($$"""{"{{field}}":{{value}}}""").LayerNormEpsilon);

    [Theory]
    [InlineData("vocab_size", "1")]
    [InlineData("vocab_size", "4194305")]
    [InlineData("d_model", "0")]
    [InlineData("d_model", "-8")]
    [InlineData("d_model", "65537")]
    [InlineData("d_model", "8.0")]
    [InlineData("d_model", "8.5")]
    [InlineData("d_model", "\"8\"")]
    [InlineData("d_model", "true")]
    [InlineData("d_model", "[8]")]
    [InlineData("d_model", "99999999999999999999")]
    [InlineData("d_model", "1e400")]
    [InlineData("d_model", null)]
    [InlineData("d_kv", "8193")]
    [InlineData("d_kv", null)]
    [InlineData("d_ff", "1048577")]
    [InlineData("d_ff", null)]
    [InlineData("num_heads", "1025")]
    [InlineData("num_heads", null)]
    [InlineData("num_layers", "1025")]
    [InlineData("num_layers", "0")]
    [InlineData("num_layers", null)]
    [InlineData("num_decoder_layers", "0")]
    [InlineData("num_decoder_layers", "2147483648")]
    [InlineData("vocab_size", null)]
    [InlineData("relative_attention_num_buckets", "3")]
    [InlineData("relative_attention_num_buckets", "65537")]
    [InlineData("relative_attention_max_distance", "16")]
    [InlineData("relative_attention_max_distance", "0")]
    [InlineData("relative_attention_max_distance", "1048577")]
    [InlineData("layer_norm_epsilon", "0")]
    [InlineData("layer_norm_epsilon", "-1e-6")]
    [InlineData("layer_norm_epsilon", "1.5")]
    [InlineData("layer_norm_epsilon", "1e400")]
    [InlineData("layer_norm_epsilon", "1e-400")]
    [InlineData("layer_norm_epsilon", "\"1e-6\"")]
    [InlineData("model_type", "\"umt5\"")]
    [InlineData("model_type", "\"bart\"")]
    [InlineData("model_type", "5")]
    [InlineData("model_type", null)]
    [InlineData("feed_forward_proj", "\"gelu\"")]
    [InlineData("feed_forward_proj", "\"gated-tanh\"")]
    [InlineData("feed_forward_proj", "\"Relu\"")]
    [InlineData("feed_forward_proj", "1")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("scale_decoder_outputs", "\"false\"")]
    [InlineData("pad_token_id", "-1")]
    [InlineData("pad_token_id", "100")]
    [InlineData("eos_token_id", "100")]
    [InlineData("eos_token_id", "[1,2]")]
    [InlineData("eos_token_id", "[]")]
    [InlineData("eos_token_id", "[null]")]
    [InlineData("decoder_start_token_id", "100")]
    [InlineData("decoder_start_token_id", "[0]")]
    [InlineData("max_new_tokens", "0")]
    [InlineData("max_new_tokens", "1048577")]
    [InlineData("max_length", "1")]
    [InlineData("max_length", "-2147483648")]
    [InlineData("max_length", "1048578")]
    public void Absurd_values_are_refused_by_name(string field, string? value)
    {
        JsonObject config = JsonNode.Parse(Minimal)!.AsObject();
        config.Remove(field);
        string json = config.ToJsonString();
        if (value is not null)
        {
            json = $"{json[..^1]},\"{field}\":{value}}}";
        }

        string message = Refused(json, null);
        Assert.Contains($"'{field}'", message);
        Assert.Contains("config.json", message);
        if (value is not null)
        {
            Assert.Contains(value == "[null]" ? "null" : value.Trim('"'), message);
        }
    }

    [Theory]
    [InlineData("eos_token_id", "[1,2]")]
    [InlineData("pad_token_id", "100")]
    [InlineData("decoder_start_token_id", "-1")]
    [InlineData("max_new_tokens", "0")]
    [InlineData("max_length", "1.5")]
    public void Absurd_values_of_the_generation_configuration_are_refused(string field, string value)
    {
        string message = Refused(Minimal, $$"""{"{{field}}":{{value}}}""");
        Assert.Contains($"'{field}'", message);
        Assert.Contains("generation_config.json", message);
    }

    [Fact]
    public void Buckets_beyond_the_default_distance_need_a_distance_of_their_own()
    {
        Assert.Contains("relative_attention_max_distance", Refused(Minimal[..^1] + ",\"relative_attention_num_buckets\":256}", null));
        Assert.Equal(128, Read("""{"relative_attention_num_buckets":254}""").RelativeAttentionMaxDistance);
        Assert.Equal(17, Read("""{"relative_attention_max_distance":17}""").RelativeAttentionMaxDistance);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("\"t5\"")]
    [InlineData("{")]
    [InlineData("{\"model_type\":\"t5\",}")]
    [InlineData("{\"model_type\":\"t5\"} // comment")]
    [InlineData("{\"model_type\":\"t5\"}{}")]
    [InlineData("{\"model_type\":\"t5\",\"d_model\":NaN}")]
    [InlineData("{\"model_type\":\"t5\",\"layer_norm_epsilon\":Infinity}")]
    [InlineData("{\"model_type\":\"t5\",\"model_type\":\"t5\"}")]
    [InlineData("{\"model_type\":\"t5\",\"model_typ\\u0065\":\"t5\"}")]
    [InlineData("{\"model_type\":\"t5\",\"x\":{\"y\":1,\"y\":2}}")]
    [InlineData("{\"model_type\":\"\\ud800\"}")]
    [InlineData("{\"\\ud800\":1}")]
    public void Malformed_files_are_refused(string json)
    {
        Assert.Contains("config.json", Refused(json, null));
        if (!json.Contains("\"\\ud800\"}", StringComparison.Ordinal))
        {
            Assert.Contains("generation_config.json", Refused(Minimal, json));
        }
    }

    [Fact]
    public void Deep_and_huge_files_are_refused()
    {
        Refused("{\"x\":" + new string('[', 100_000), null);
        Refused("{\"x\":" + string.Concat(Enumerable.Repeat("{\"x\":", 40)) + "1" + new string('}', 41), null);
        Assert.Contains("16 MB", Refused(Minimal + new string(' ', 17 << 20), null));
    }

    [Fact]
    public void Damaged_files_are_read_or_refused_and_nothing_else()
    {
        byte[] whole = System.Text.Encoding.UTF8.GetBytes(
            Minimal[..^1] + ",\"feed_forward_proj\":\"gated-gelu\",\"eos_token_id\":[1],\"layer_norm_epsilon\":1e-06,\"tie_word_embeddings\":false}");
        using var folder = new TemporaryFolder();
        var random = new Random(77);
        int refused = 0;
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = [.. whole];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            }

            File.WriteAllBytes(folder.File("config.json"), i % 5 == 0 ? damaged[..random.Next(damaged.Length)] : damaged);
            Exception? exception = Record.Exception(() => T5ConfigurationReader.Read(folder.Path));
            Assert.True(exception is null or InvalidModelException, $"{i}: {exception}");
            refused += exception is null ? 0 : 1;
        }

        Assert.InRange(refused, 1000, 2000);
    }

    private static T5Configuration Read(string changes = "{}", string? generation = null)
    {
        JsonObject config = JsonNode.Parse(Minimal)!.AsObject();
        foreach ((string name, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
        {
            config[name] = value?.DeepClone();
        }

        using TemporaryFolder folder = Write(config.ToJsonString(), generation);
        return T5ConfigurationReader.Read(folder.Path).Model;
    }

    private static string Refused(string config, string? generation)
    {
        using TemporaryFolder folder = Write(config, generation);
        return Assert.Throws<InvalidModelException>(() => T5ConfigurationReader.Read(folder.Path)).Message;
    }

    private static TemporaryFolder Write(string config, string? generation)
    {
        var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), config);
        if (generation is not null)
        {
            File.WriteAllText(folder.File("generation_config.json"), generation);
        }

        return folder;
    }
}
