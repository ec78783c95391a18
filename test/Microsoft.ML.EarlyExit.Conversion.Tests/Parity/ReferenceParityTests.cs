using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Graphs and generation against <see cref="ReferenceT5"/>, over shapes that published checkpoints do not have.</summary>
public sealed class ReferenceParityTests
{
    private static readonly Dictionary<string, (T5Configuration Configuration, CheckpointDataType DataType, bool OwnHead)> s_models = new()
    {
        ["odd head width"] = (TinyCheckpoint.Sizes, CheckpointDataType.F32, false),
        ["inner wider than the model"] = (
            TinyCheckpoint.Sizes with { ModelDimension = 24, KeyValueDimension = 16, HeadCount = 3 }, CheckpointDataType.F16, false),
        ["one head of one"] = (TinyCheckpoint.Sizes with { KeyValueDimension = 1, HeadCount = 1, ModelDimension = 7 }, CheckpointDataType.F32, true),
        ["gated silu, own head"] = (
            TinyCheckpoint.Sizes with { Activation = T5Activation.Silu, GatedFeedForward = true, ScaleDecoderOutputs = false }, CheckpointDataType.BF16, true),
        ["gated gelu, deep encoder"] = (
            TinyCheckpoint.Sizes with
            {
                Activation = T5Activation.GeluTanh,
                GatedFeedForward = true,
                EncoderLayerCount = 5,
                DecoderLayerCount = 2,
                KeyValueDimension = 12,
                HeadCount = 2,
                RelativeAttentionBucketCount = 32,
                RelativeAttentionMaxDistance = 128,
                ScaleDecoderOutputs = false,
            },
            CheckpointDataType.F32, true),
        ["silu, one layer"] = (
            TinyCheckpoint.Sizes with { Activation = T5Activation.Silu, EncoderLayerCount = 1, DecoderLayerCount = 1, KeyValueDimension = 8, HeadCount = 4 },
            CheckpointDataType.F32, false),
        ["gelu, other buckets"] = (
            TinyCheckpoint.Sizes with
            {
                Activation = T5Activation.GeluTanh,
                RelativeAttentionBucketCount = 16,
                RelativeAttentionMaxDistance = 20,
                KeyValueDimension = 9,
                LayerNormEpsilon = 1e-2f,
                DecoderStartTokenId = 5,
                PadTokenId = 5,
                EndOfSequenceTokenId = 2,
            },
            CheckpointDataType.F32, false),
        ["own head, scaled all the same"] = (TinyCheckpoint.Sizes with { KeyValueDimension = 3, HeadCount = 5 }, CheckpointDataType.F32, true),
    };

    public static TheoryData<string, int> Cases =>
        [.. from name in s_models.Keys from seed in Enumerable.Range(1, 3) select new TheoryDataRow<string, int>(name, seed)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Teacher_forcing_equals_the_reference_in_every_layer(string name, int seed)
    {
        using var folder = new TemporaryFolder();
        TinyCheckpoint checkpoint = Convert(name, seed, folder, out string bundlePath);
        var reference = new ReferenceT5(checkpoint);
        var random = new Random(seed);
        using var model = new TeacherForcedModel(bundlePath);
        using var head = new BundleHead(bundlePath);
        for (int round = 0; round < 4; round++)
        {
            int batch = random.Next(1, 4);
            int sequence = random.Next(1, 50);
            int target = random.Next(1, 45);
            int[][] ids = Ids(batch, sequence, checkpoint.Configuration, random);
            int[][] decoderIds = Ids(batch, target, checkpoint.Configuration, random);

            // Padding anywhere, also in the middle; at least one position of a row counts.
            int[][] mask = [.. ids.Select(row => row.Select((_, at) => at == row.Length / 2 || random.Next(4) > 0 ? 1 : 0).ToArray())];
            float[] encoded = model.Encode(ids, mask);
            float[][] states = model.Decode(encoded, mask, decoderIds);
            int width = checkpoint.Configuration.ModelDimension;
            for (int row = 0; row < batch; row++)
            {
                bool[] isKept = [.. mask[row].Select(value => value == 1)];
                double[][] expected = reference.Encode(ids[row], isKept);
                for (int at = 0; at < sequence; at++)
                {
                    if (isKept[at])
                        Close(expected[at], encoded.AsSpan(((row * sequence) + at) * width, width), $"encoder, row {row}, position {at} of {sequence}");
                }

                double[][][] expectedStates = reference.Decode(expected, isKept, decoderIds[row]);
                Assert.Equal(expectedStates.Length, states.Length);
                for (int layer = 0; layer < states.Length; layer++)
                {
                    for (int at = 0; at < target; at++)
                    {
                        Span<float> state = states[layer].AsSpan(((row * target) + at) * width, width);
                        Close(expectedStates[layer][at], state, $"layer {layer}, row {row}, position {at} of {target}");
                        Close(
                            reference.Logits(expectedStates[layer][at]), head.Logits(state), $"logits of layer {layer}, row {row}, position {at} of {target}");
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Greedy_generation_takes_the_reference_s_best_token_at_every_exit(string name, int seed)
    {
        using var folder = new TemporaryFolder();
        TinyCheckpoint checkpoint = Convert(name, seed, folder, out string bundlePath);
        T5Configuration configuration = checkpoint.Configuration;
        var reference = new ReferenceT5(checkpoint);
        var random = new Random(1000 + seed);
        using EarlyExitModel model = EarlyExitModel.Load(bundlePath);
        int[][] inputs = [.. Enumerable.Range(0, 3).Select(_ => Ids(1, random.Next(1, 30), configuration, random)[0])];
        for (int layer = 1; layer <= configuration.DecoderLayerCount; layer++)
        {
            var options = new TextGenerationOptions
            {
                MaxNewTokens = layer == configuration.DecoderLayerCount ? 70 : 20,
                BatchSize = 1 + random.Next(3),
                Exit = layer == configuration.DecoderLayerCount ? null : new ExitPolicy { StaticExitLayer = layer },
            };
            IReadOnlyList<GenerationResult> results = model.Generate([.. inputs.Select(GenerationInput.FromTokenIds)], options);
            for (int row = 0; row < inputs.Length; row++)
            {
                GenerationResult result = results[row];
                Assert.All(result.ExitLayers, exit => Assert.Equal(layer, exit));
                Assert.Equal(
                    result.TokenIds[^1] == configuration.EndOfSequenceTokenId ? StopReason.EndOfSequence : StopReason.MaxNewTokens, result.StopReason);
                Assert.DoesNotContain(configuration.EndOfSequenceTokenId, result.TokenIds.SkipLast(1));
                bool[] all = [.. inputs[row].Select(_ => true)];

                // Along the model's own tokens: what comes after a near tie is compared too.
                double[][][] states = reference.Decode(
                    reference.Encode(inputs[row], all), all, [configuration.DecoderStartTokenId, .. result.TokenIds.SkipLast(1)]);
                for (int position = 0; position < result.TokenIds.Count; position++)
                {
                    double[] logits = reference.Logits(states[layer][position]);
                    Assert.True(logits.Max() - logits[result.TokenIds[position]] <= 1e-4, $"layer {layer}, row {row}, token {position}");
                }
            }
        }
    }

    [Fact]
    public void Operations_are_counted_with_the_head_width_of_the_checkpoint()
    {
        // The graphs pad heads of 5 to 8.
        using var folder = new TemporaryFolder();
        Convert("odd head width", 1, folder, out string bundlePath);
        using EarlyExitModel model = EarlyExitModel.Load(bundlePath);
        GenerationResult result = model.Generate([GenerationInput.FromTokenIds([7, 1])], new TextGenerationOptions { MaxNewTokens = 1 })[0];
        // d = 12, i = 3·5 = 15, d_ff = 20, 37 tokens, 2 input ids. A block: 2·12·15·4 + 4·15·1 + 2·12·15·2 + 4·15·2 + 2·12·20·2 = 3300; its cross-attention
        // keys and values: 2·12·15·2·2 = 1440. Four blocks: 4·(3300 + 1440) = 18960. The head: 2·12·37 = 888.
        Assert.Equal(new OperationCounts(18960, 0, 0, 888, 0), result.Operations);
    }

    private static TinyCheckpoint Convert(string name, int seed, TemporaryFolder folder, out string bundle)
    {
        (T5Configuration configuration, CheckpointDataType dataType, bool ownHead) = s_models[name];
        var checkpoint = new TinyCheckpoint(configuration, dataType, ownHead, shards: 1 + (seed % 2), seed: seed);
        string source = folder.File("source");
        Directory.CreateDirectory(source);
        checkpoint.Write(source);
        bundle = folder.File("bundle");
        T5Converter.Convert(source, bundle);
        return checkpoint;
    }

    private static int[][] Ids(int rows, int length, T5Configuration configuration, Random random) =>
        [.. Enumerable.Range(0, rows).Select(_ => Enumerable.Range(0, length).Select(_ => random.Next(configuration.VocabularySize)).ToArray())];

    private static void Close(double[] expected, ReadOnlySpan<float> actual, string what)
    {
        double largest = expected.Max(Math.Abs);
        for (int index = 0; index < expected.Length; index++)
            Assert.True(Math.Abs(expected[index] - actual[index]) <= 2e-5 * (1 + largest), $"{what}: {actual[index]} at {index} instead of {expected[index]}");
    }
}
