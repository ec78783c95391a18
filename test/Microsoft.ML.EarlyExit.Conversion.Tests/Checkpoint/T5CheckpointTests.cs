using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

public sealed class T5CheckpointTests
{
    private static readonly T5Configuration Common = TinyCheckpoint.Sizes with { RelativeAttentionBucketCount = 32, RelativeAttentionMaxDistance = 128 };

    public static TheoryData<string> Models =>
    [
        "test/fixtures/models/hf-tiny/tiny-v10",
        "test/fixtures/models/hf-tiny/tiny-v11",
        "test/fixtures/models/hf-tiny/tiny-sharded",
        "test/fixtures/models/hf-tiny/tiny-buckets",
        "test/fixtures/models/tiny-v11-exit",
        "samples/t5-restaurants",
    ];

    [Theory]
    [MemberData(nameof(Models))]
    public void Models_of_transformers_open_with_their_configuration(string folder)
    {
        (T5Configuration expected, string head, bool tokenizer) = Path.GetFileName(folder) switch
        {
            "tiny-v10" => (Expect(512, 64, 16, 4, 128, 2, 6), "shared.weight", false),
            "tiny-v11" => (
                Expect(300, 48, 16, 2, 96, 3, 5) with { Activation = T5Activation.GeluTanh, GatedFeedForward = true, ScaleDecoderOutputs = false },
                "lm_head.weight", false),
            "tiny-sharded" => (Expect(512, 64, 16, 4, 128, 4, 4), "shared.weight", false),
            "tiny-buckets" => (
                Expect(256, 32, 8, 4, 64, 2, 4) with { ScaleDecoderOutputs = false, RelativeAttentionBucketCount = 8, RelativeAttentionMaxDistance = 16 },
                "lm_head.weight", false),
            "tiny-v11-exit" => (
                Expect(1024, 48, 16, 2, 96, 3, 8) with { Activation = T5Activation.GeluTanh, GatedFeedForward = true, ScaleDecoderOutputs = false },
                "lm_head.weight", false),
            _ => (Expect(32128, 256, 64, 4, 512, 4, 12) with { MaxNewTokens = 96 }, "shared.weight", true),
        };
        string path = Path.Combine(Repository.Folder, folder);

        using T5Checkpoint checkpoint = T5Checkpoint.Open(path);

        Assert.Equal(expected, checkpoint.Configuration);
        Assert.Equal(head, checkpoint.HeadName);
        Assert.Equal(path, checkpoint.Folder);
        Assert.Equal(tokenizer ? Path.Combine(path, "spiece.model") : null, checkpoint.TokenizerPath);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Every_tensor_of_the_models_reads_as_it_is_stored(string folder)
    {
        string path = Path.Combine(Repository.Folder, folder);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(path);
        int seen = 0;
        foreach (string file in Directory.EnumerateFiles(path, "*.safetensors"))
        {
            foreach ((string name, (string dataType, int[] shape, float[] values)) in PlainReader.Read(file))
            {
                CheckpointTensor tensor = checkpoint[name];
                var read = new float[tensor.ElementCount];
                tensor.Read(0, read);

                Assert.Equal(name, tensor.Name);
                Assert.Equal(dataType, tensor.DataType.ToString());
                Assert.Equal(shape, tensor.Shape);
                Assert.True(values.AsSpan().SequenceEqual(read), name);
                seen++;
            }
        }

        Assert.True(seen > 50, $"{seen} tensors");
    }

    [Theory]
    [InlineData("F32", false, false, 1)]
    [InlineData("F16", true, true, 1)]
    [InlineData("BF16", true, false, 3)]
    [InlineData("F16", false, true, 7)]
    public void A_built_checkpoint_reads_back(string dataType, bool gated, bool ownHead, int shards)
    {
        T5Configuration configuration = TinyCheckpoint.Sizes with
        {
            GatedFeedForward = gated, Activation = T5Activation.Silu, ScaleDecoderOutputs = !ownHead, MaxNewTokens = 9,
        };
        var tiny = new TinyCheckpoint(configuration, Enum.Parse<CheckpointDataType>(dataType), ownHead, shards);
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);

        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path);

        Assert.Equal(configuration, checkpoint.Configuration);
        Assert.Equal(ownHead ? "lm_head.weight" : "shared.weight", checkpoint.HeadName);
        foreach (TinyTensor tensor in tiny.Tensors)
        {
            var read = new float[tensor.Values.Length];
            checkpoint[tensor.Name].Read(0, read);
            Assert.Equal(tensor.Values, read);
            Assert.True(checkpoint.Contains(tensor.Name));
        }
    }

    [Fact]
    public void Copies_of_the_embedding_and_the_unused_bias_are_accepted()
    {
        var tiny = new TinyCheckpoint();
        tiny.Tensors.Add(tiny["shared.weight"] with { Name = "encoder.embed_tokens.weight" });
        tiny.Tensors.Add(tiny["shared.weight"] with { Name = "decoder.embed_tokens.weight" });
        tiny.Tensors.Add(new TinyTensor(
            "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", [8, 3], CheckpointDataType.F32, new float[24]));
        using T5Checkpoint checkpoint = Open(tiny, out TemporaryFolder folder);
        using (folder)
        {
            Assert.Equal("shared.weight", checkpoint.HeadName);
        }
    }

    [Theory]
    [InlineData("encoder.embed_tokens.weight")]
    [InlineData("decoder.embed_tokens.weight")]
    public void The_embedding_may_be_stored_under_its_other_name_alone(string name)
    {
        var tiny = new TinyCheckpoint(ownHead: true);
        float[] values = tiny["shared.weight"].Values;
        tiny.Replace("shared.weight", tensor => tensor with { Name = name });
        using T5Checkpoint checkpoint = Open(tiny, out TemporaryFolder folder);
        using (folder)
        {
            var read = new float[values.Length];
            checkpoint["shared.weight"].Read(0, read);
            Assert.Equal(values, read);
        }
    }

    [Fact]
    public void An_embedding_of_the_decoder_alone_is_refused()
    {
        var tiny = new TinyCheckpoint();
        TinyTensor other = tiny["shared.weight"] with { Name = "decoder.embed_tokens.weight", Values = [.. tiny["shared.weight"].Values] };
        other.Values[^1] += 1;
        tiny.Tensors.Add(other);
        Assert.Contains("decoder.embed_tokens.weight", Refused(tiny));
    }

    public static TheoryData<string> NeededTensors => [.. new TinyCheckpoint().Tensors.Select(tensor => tensor.Name)];

    [Theory]
    [MemberData(nameof(NeededTensors))]
    public void Every_tensor_is_needed_and_of_its_shape(string name)
    {
        var tiny = new TinyCheckpoint();
        tiny.Tensors.Remove(tiny[name]);
        Assert.Contains($"'{name}'", Refused(tiny));

        // One row more than the configuration implies.
        tiny = new TinyCheckpoint();
        TinyTensor whole = tiny[name];
        int[] shape = [whole.Shape[0] + 1, .. whole.Shape.Skip(1)];
        tiny.Replace(name, _ => new TinyTensor(name, shape, CheckpointDataType.F32, new float[shape.Aggregate(1, (a, b) => a * b)]));
        string message = Refused(tiny);
        Assert.Contains($"'{name}'", message);
        Assert.Contains($"[{string.Join(", ", shape)}]", message);
        Assert.Contains($"[{string.Join(", ", whole.Shape)}]", message);
    }

    [Fact]
    public void A_matrix_stored_the_other_way_round_is_refused()
    {
        var tiny = new TinyCheckpoint();
        tiny.Replace("decoder.block.1.layer.2.DenseReluDense.wo.weight", tensor => tensor with { Shape = [tensor.Shape[1], tensor.Shape[0]] });
        Assert.Contains("decoder.block.1.layer.2.DenseReluDense.wo.weight", Refused(tiny));
    }

    [Theory]
    [InlineData("encoder.block.0.layer.0.SelfAttention.q.bias")]
    [InlineData("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")]
    [InlineData("decoder.block.4.layer.0.layer_norm.weight")]
    [InlineData("decoder.block.0.layer.2.DenseReluDense.wi_1.weight")]
    [InlineData("classification_head.dense.weight")]
    public void A_tensor_a_T5_does_not_have_is_refused(string name)
    {
        var tiny = new TinyCheckpoint();
        tiny.Tensors.Add(new TinyTensor(name, [2], CheckpointDataType.F32, [1, 2]));
        Assert.Contains($"'{name}'", Refused(tiny));
    }

    [Fact]
    public void A_head_of_another_shape_is_refused()
    {
        var tiny = new TinyCheckpoint();
        tiny.Tensors.Add(new TinyTensor("lm_head.weight", [12, 37], CheckpointDataType.F32, new float[37 * 12]));
        Assert.Contains("lm_head.weight", Refused(tiny));
    }

    [Fact]
    public void Absent_names_and_folders_are_named()
    {
        using T5Checkpoint checkpoint = Open(new TinyCheckpoint(), out TemporaryFolder folder);
        using (folder)
        {
            Assert.Contains("'lm_head.weight'", Assert.Throws<InvalidModelException>(() => checkpoint["lm_head.weight"]).Message);
            Assert.False(checkpoint.Contains("lm_head.weight"));
            string absent = folder.File("absent");
            Assert.Contains(absent, Assert.Throws<DirectoryNotFoundException>(() => T5Checkpoint.Open(absent)).Message);
            Assert.Throws<ArgumentException>(() => T5Checkpoint.Open(""));
            Assert.Throws<ArgumentNullException>(() => T5Checkpoint.Open(null!));
        }
    }

    [Fact]
    public void Weights_of_another_format_are_refused_with_advice()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("config.json", Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message);

        new TinyCheckpoint().Write(folder.Path);
        File.Delete(folder.File("model.safetensors"));
        Assert.Contains("model.safetensors", Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message);

        File.WriteAllBytes(folder.File("pytorch_model.bin"), [1]);
        Assert.Contains("save_pretrained", Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message);
    }

    [Fact]
    public void Files_are_free_after_disposal_and_after_a_refusal_and_tensors_are_closed()
    {
        var tiny = new TinyCheckpoint(shards: 2);
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        CheckpointTensor tensor;
        using (T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path))
        {
            tensor = checkpoint["shared.weight"];
            checkpoint.Dispose();
        }

        Assert.Throws<ObjectDisposedException>(() => tensor.Read(0, new float[1]));
        tiny.Tensors.RemoveAt(0);
        tiny.Write(folder.Path);
        Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path));
        using FileStream exclusive = new(folder.File("model-00001-of-00002.safetensors"), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
    }

    [Fact]
    public void Reads_outside_of_a_tensor_are_refused()
    {
        using T5Checkpoint checkpoint = Open(new TinyCheckpoint(), out TemporaryFolder folder);
        using (folder)
        {
            CheckpointTensor tensor = checkpoint["shared.weight"];
            Assert.Equal(37 * 12, tensor.ElementCount);
            Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Read(-1, new float[1]));
            Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Read(37 * 12, new float[1]));
            Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Read((37 * 12) - 1, new float[2]));
            Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Read(long.MaxValue, new float[2]));
            tensor.Read(37 * 12, []);
        }
    }

    [Fact]
    public void Several_threads_read_at_once()
    {
        var tiny = new TinyCheckpoint(dataType: CheckpointDataType.BF16);
        using T5Checkpoint checkpoint = Open(tiny, out TemporaryFolder folder);
        using (folder)
        {
            Parallel.For(0, 200, i =>
            {
                TinyTensor expected = tiny.Tensors[i % tiny.Tensors.Count];
                var read = new float[expected.Values.Length - (i % 7)];
                checkpoint[expected.Name].Read(i % 7, read);
                Assert.True(expected.Values.AsSpan(i % 7).SequenceEqual(read));
            });
        }
    }

    internal static string Refused(TinyCheckpoint tiny)
    {
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        return Assert.Throws<InvalidModelException>(() => T5Checkpoint.Open(folder.Path)).Message;
    }

    private static T5Checkpoint Open(TinyCheckpoint tiny, out TemporaryFolder folder)
    {
        folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        return T5Checkpoint.Open(folder.Path);
    }

    private static T5Configuration Expect(int vocabulary, int model, int keyValue, int heads, int feedForward, int encoder, int decoder) => Common with
    {
        VocabularySize = vocabulary,
        ModelDimension = model,
        KeyValueDimension = keyValue,
        HeadCount = heads,
        FeedForwardDimension = feedForward,
        EncoderLayerCount = encoder,
        DecoderLayerCount = decoder,
    };
}
