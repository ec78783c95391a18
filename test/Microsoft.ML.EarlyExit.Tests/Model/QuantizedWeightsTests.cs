using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Bundles of whole numbers with scales are the models whose weights are the numbers times their scales.</summary>
[Collection("Native memory")]
public sealed class QuantizedWeightsTests : IDisposable
{
    private const double LargestDifference = 0.1;

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<string, WeightPrecision> Policies =>
    [
        .. from policy in StoredWeightsPolicies.All.Keys
           from precision in (WeightPrecision[])[WeightPrecision.Int8, WeightPrecision.Int4]
           select new TheoryDataRow<string, WeightPrecision>(policy, precision),
    ];

    public static TheoryData<string, WeightPrecision> Models =>
    [
        .. from name in (string[])["tiny-v10", "tiny-v11", "tiny-buckets", TestModels.Demo]
           from precision in (WeightPrecision[])[WeightPrecision.Int8, WeightPrecision.Int4]
           select new TheoryDataRow<string, WeightPrecision>(name, precision),
    ];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Policies))]
    public void A_rows_tokens_exits_and_confidences_do_not_depend_on_others(string policy, WeightPrecision precision)
    {
        string stored = ConvertOnly(TestModels.Exits, precision);
        GenerationInput[] rows = [.. Enumerable.Range(0, 7).Select(row => GenerationInput.FromTokenIds([.. Ids(row), 1]))];
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel copied = EarlyExitModel.Load(stored, new EarlyExitModelOptions { CopyWeights = true });
        IReadOnlyList<GenerationResult> alone = Generate(model, rows, 1);
        Equal(alone, Generate(model, rows, 3));
        Equal(alone, Generate(copied, rows, 7));
        Equal([.. alone.Reverse()], Generate(model, [.. rows.Reverse()], 5));

        IReadOnlyList<GenerationResult> Generate(EarlyExitModel one, GenerationInput[] inputs, int batchSize) => one.Generate(
            inputs,
            new TextGenerationOptions { MaxNewTokens = 24, MinNewTokens = 12, BatchSize = batchSize, Exit = StoredWeightsPolicies.All[policy], Trace = true },
            TestContext.Current.CancellationToken);

        static void Equal(IReadOnlyList<GenerationResult> expected, IReadOnlyList<GenerationResult> results)
        {
            for (int row = 0; row < expected.Count; row++)
            {
                Assert.Null(results[row].Error);
                Assert.Equal(expected[row].TokenIds, results[row].TokenIds);
                Assert.Equal(expected[row].ExitLayers, results[row].ExitLayers);
                Assert.Equal(expected[row].Confidences!, results[row].Confidences!, (left, right) => left.Equals(right) || MathF.Abs(left - right) < 1e-4);
            }
        }

        static IEnumerable<int> Ids(int row) => Enumerable.Range(1, 4 + (3 * row)).Select(id => 5 + (id * (row + 3) % 900));
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Hidden_states_are_those_of_the_dequantised_weights_and_other_tools_see_the_same(string name, WeightPrecision precision)
    {
        (string stored, string dequantized) = Convert(name, precision);
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel reference = EarlyExitModel.Load(dequantized);
        float[][] expected = States(reference, reference.Sessions.Encoder, reference.Sessions.TeacherForcedDecoder);
        using var encoder = new InferenceSession(Path.Combine(stored, "encoder.onnx"));
        using var decoder = new InferenceSession(Path.Combine(stored, "decoder-teacher-forced.onnx"));
        float[][] own = States(model, model.Sessions.Encoder, model.Sessions.TeacherForcedDecoder, expected[0]);
        float[][] theirs = States(model, encoder, decoder);
        for (int layer = 0; layer < expected.Length; layer++)
        {
            double largest = expected[layer].Max(Math.Abs);
            // The encoder's inputs are rounded to 7 or 8 bits, the decoder's to 16.
            double difference = Math.Sqrt(expected[layer].Zip(own[layer], (left, right) => Math.Pow(left - right, 2)).Sum());
            Assert.InRange(difference / Math.Sqrt(expected[layer].Sum(value => (double)value * value)), 0, LargestDifference);
            for (int index = 0; index < expected[layer].Length; index++)
                Assert.Equal(expected[layer][index], theirs[layer][index], 1e-4 * largest);
        }
    }

    [Theory]
    [InlineData(WeightPrecision.Int8)]
    [InlineData(WeightPrecision.Int4)]
    public void A_saved_pipeline_carries_the_numbers(WeightPrecision precision)
    {
        string stored = ConvertOnly(TestModels.Exits, precision);
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable([new Row { Ids = [5, 6, 7, 1] }, new Row { Ids = [90, 14, 700, 3, 1] }]);
        string zip = Path.Combine(_folder.Path, "model.zip");
        int[][] expected;
        using (TextGenerationTransformer fitted = Estimate(stored).Fit(data))
        {
            expected = Read(fitted);
            context.Model.Save(fitted, data.Schema, zip);
        }

        Directory.Delete(stored, recursive: true);
        ITransformer loaded = new MLContext().Model.Load(zip, out _);
        using var disposable = (IDisposable)loaded;
        Assert.Equal(expected, Read(loaded));
        Assert.Equal(8, expected[0].Length);

        TextGenerationEstimator Estimate(string path) => context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            TokenIdsColumnName = "Output",
            InputColumnName = nameof(Row.Ids),
            ModelPath = path,
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 8, MinNewTokens = 8 },
        });

        int[][] Read(ITransformer transformer) =>
            [.. transformer.Transform(data).GetColumn<VBuffer<int>>("Output").Select(ids => ids.DenseValues().ToArray())];
    }

    [Fact]
    public void The_demo_model_says_nearly_the_same_in_every_precision()
    {
        GenerationInput[] prompts =
        [
            .. from task in (string[])["describe", "question"]
               from line in File.ReadLines(TestModels.Fixture("demo", $"{task}-test.jsonl")).Take(12)
               select GenerationInput.FromText((string)JsonNode.Parse(line)!["text"]!),
        ];
        var options = new TextGenerationOptions { BatchSize = 4 };
        string[] whole = Texts(TestModels.Bundle(TestModels.Demo));
        foreach ((WeightPrecision precision, int least) in ((WeightPrecision, int)[])[(WeightPrecision.Int8, 23), (WeightPrecision.Int4, 18)])
        {
            string bundle = Path.Combine(_folder.Path, $"{precision}");
            T5Converter.Convert(TestModels.Checkpoint(TestModels.Demo), bundle, new T5ConversionOptions { Weights = precision });
            string[] texts = Texts(bundle);
            Assert.InRange(whole.Zip(texts).Count(pair => pair.First == pair.Second), least, prompts.Length);
        }

        string[] Texts(string bundle)
        {
            using EarlyExitModel model = EarlyExitModel.Load(bundle);
            return [.. model.Generate(prompts, options, TestContext.Current.CancellationToken).Select(result => result.Text!)];
        }
    }

    [Fact]
    public void A_disposed_model_leaves_no_widened_weights_behind()
    {
        string stored = ConvertOnly("tiny-v10", WeightPrecision.Int4);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        using (EarlyExitModel model = EarlyExitModel.Load(stored))
            model.Generate([GenerationInput.FromTokenIds([9, 1])], cancellationToken: TestContext.Current.CancellationToken);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-0.5f)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Scales_that_are_no_positive_finite_numbers_are_refused_with_their_place(float scale)
    {
        string stored = ConvertOnly("tiny-v10", WeightPrecision.Int4);
        Rewrite(stored, manifest =>
        {
            int offset = (int)Tensor(manifest, "decoder.2.ff.wo.scales")["offset"]!;
            byte[] weights = File.ReadAllBytes(Path.Combine(stored, "weights.bin"));
            BitConverter.TryWriteBytes(weights.AsSpan(offset + (((2 * 5) + 1) * sizeof(float))), scale);
            File.WriteAllBytes(Path.Combine(stored, "weights.bin"), weights);
        });
        foreach (bool copy in (bool[])[false, true])
        {
            string message = Assert.Throws<InvalidModelException>(() => ModelBundle.Open(stored, copy)).Message;
            Assert.Contains("'decoder.2.ff.wo.scales'", message, StringComparison.Ordinal);
            Assert.Contains("[5, 1]", message, StringComparison.Ordinal);
            Assert.Contains(stored, message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("scales missing", "'decoder.0.ff.wo.scales'", "is missing")]
    [InlineData("scales of the wrong rows", "'decoder.0.ff.wo.scales' has shape [32, 2]", "64 rows")]
    [InlineData("scales that divide nothing", "'decoder.0.ff.wo.scales' has shape [64, 3]", "divides 128")]
    [InlineData("more scales than numbers", "'decoder.0.ff.wo.scales' has shape [64, 256]", "divides 128")]
    [InlineData("scales of one dimension", "'decoder.0.ff.wo.scales' has shape [128]", "64 rows")]
    [InlineData("scales in bf16", "'decoder.0.ff.wo.scales' is of type bf16", "must be fp32")]
    [InlineData("scales in int8", "'decoder.0.ff.wo.scales' is of type int8", "must be fp32")]
    [InlineData("scales beyond the file", "'decoder.0.ff.wo.scales' at offset", "weights.bin")]
    [InlineData("scales of scales", "'decoder.0.ff.wo.scales.scales'", "not stored as whole numbers")]
    [InlineData("scales of no numbers", "'decoder.0.ff.wo.scales'", "not stored as whole numbers")]
    [InlineData("numbers of no matrix", "'decoder.0.ff.wo' is of type int4 and not a matrix")]
    [InlineData("odd blocks of four bits", "'decoder.0.ff.wo'", "blocks of 1", "multiple of 64")]
    [InlineData("four bits in attention", "'decoder.0.self.q' is of type int4", "fp32 or int8")]
    [InlineData("four bits in the encoder", "'encoder.0.ff.wo' is of type int4", "fp32 or int8")]
    [InlineData("four bits in a bundle of eight", "'decoder.0.ff.wi' is of type int4", "precision int8", "fp32 or int8")]
    [InlineData("numbers in a bundle of none", "is of type int8", "precision fp32 it must be fp32")]
    [InlineData("numbers in a bundle in bf16", "must be bf16")]
    [InlineData("matrix in bf16", "'decoder.0.self.q' is of type bf16", "fp32 or int8")]
    [InlineData("embedding in int8", "'embedding' is of type int8", "must be fp32")]
    [InlineData("norm in int4", "'decoder.final_norm' is of type int4", "must be fp32")]
    [InlineData("first version", "int4", "version 1")]
    [InlineData("newer version", "version 3", "Update")]
    [InlineData("unknown type", "'int3'", "fp32, bf16, int8, int4")]
    [InlineData("sizes that overflow", "'decoder.0.ff.wo' at offset", "weights.bin")]
    [InlineData("one row too many", "'decoder.5.ff.wo' at offset", "weights.bin")]
    [InlineData("cut off", "weights.bin")]
    public void Manifests_that_do_not_fit_their_numbers_are_refused(string damage, params string[] said)
    {
        string stored = ConvertOnly("tiny-v10", WeightPrecision.Int4);
        Rewrite(stored, manifest =>
        {
            JsonArray tensors = manifest["tensors"]!.AsArray();
            JsonNode numbers = Tensor(manifest, "decoder.0.ff.wo");
            JsonNode scales = Tensor(manifest, "decoder.0.ff.wo.scales");
            switch (damage)
            {
                case "scales missing": tensors.Remove(scales); break;
                case "scales of the wrong rows": scales["shape"]![0] = 32; break;
                case "scales that divide nothing": scales["shape"]![1] = 3; break;
                case "more scales than numbers": scales["shape"]![1] = 256; break;
                case "scales of one dimension": scales["shape"] = new JsonArray(128); break;
                case "scales in bf16": scales["type"] = "bf16"; break;
                case "scales in int8": scales["type"] = "int8"; break;
                case "scales beyond the file": scales["offset"] = (1L << 40) + 64; break;
                case "scales of scales":
                    JsonNode copy = scales.DeepClone();
                    copy["name"] = "decoder.0.ff.wo.scales.scales";
                    tensors.Add(copy);
                    break;
                case "scales of no numbers": tensors.Remove(numbers); break;
                case "numbers of no matrix": numbers["shape"] = new JsonArray(64 * 128); break;
                case "odd blocks of four bits": scales["shape"]![1] = 128; scales["offset"] = 0; break;
                case "four bits in attention": Tensor(manifest, "decoder.0.self.q")["type"] = "int4"; break;
                case "four bits in the encoder": Tensor(manifest, "encoder.0.ff.wo")["type"] = "int4"; break;
                case "four bits in a bundle of eight": manifest["precision"] = "int8"; break;
                case "numbers in a bundle of none": manifest["precision"] = "fp32"; break;
                case "numbers in a bundle in bf16": manifest["precision"] = "bf16"; break;
                case "matrix in bf16": Tensor(manifest, "decoder.0.self.q")["type"] = "bf16"; break;
                case "embedding in int8": Tensor(manifest, "embedding")["type"] = "int8"; break;
                case "norm in int4": Tensor(manifest, "decoder.final_norm")["type"] = "int4"; break;
                case "first version": manifest["formatVersion"] = 1; break;
                case "newer version": manifest["formatVersion"] = 3; break;
                case "unknown type": numbers["type"] = "int3"; break;
                case "sizes that overflow": numbers["shape"] = new JsonArray(int.MaxValue, int.MaxValue); break;
                case "one row too many": Tensor(manifest, "decoder.5.ff.wo")["shape"]![0] = 64 * 1000; break;
                default:
                    byte[] weights = File.ReadAllBytes(Path.Combine(stored, "weights.bin"));
                    File.WriteAllBytes(Path.Combine(stored, "weights.bin"), weights[..^200]);
                    break;
            }
        });
        string message = Assert.Throws<InvalidModelException>(() => ModelBundle.Open(stored)).Message;
        Assert.All(said, words => Assert.Contains(words, message, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("eight bits for four", "another type")]
    [InlineData("numbers called single", "shape [64, 128]")]
    [InlineData("shape turned", "shape [128, 64]")]
    [InlineData("other blocks", "another type or shape")]
    [InlineData("block of the node", "'decoder.0.ff.wo/dequantized'")]
    [InlineData("axis of the node", "'decoder.0.ff.wo/dequantized'")]
    [InlineData("zero point", "'decoder.0.ff.wo/dequantized'")]
    [InlineData("scales of another", "'decoder.0.ff.wo/dequantized'")]
    [InlineData("not turned", "'decoder.0.ff.wo/widened'")]
    [InlineData("elements of another type", "another type")]
    public void Graphs_that_do_not_fit_their_numbers_are_refused(string damage, string said)
    {
        string stored = ConvertOnly("tiny-v10", WeightPrecision.Int4);
        string path = Path.Combine(stored, "decoder-block-01.onnx");
        Rewrite(stored, manifest =>
        {
            ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));
            NodeProto node = model.Graph.Node.Single(node => node.Name == "decoder.0.ff.wo/dequantized");
            JsonNode numbers = Tensor(manifest, "decoder.0.ff.wo");
            switch (damage)
            {
                case "eight bits for four": numbers["type"] = "int8"; break;
                case "numbers called single":
                    numbers.AsObject().Remove("type");
                    manifest["tensors"]!.AsArray().Remove(Tensor(manifest, "decoder.0.ff.wo.scales"));
                    break;
                case "shape turned":
                    numbers["shape"] = new JsonArray(128, 64);
                    Tensor(manifest, "decoder.0.ff.wo.scales")["shape"] = new JsonArray(128, 1);
                    break;
                case "other blocks": Tensor(manifest, "decoder.0.ff.wo.scales")["shape"] = new JsonArray(64, 1); break;
                case "block of the node": node.Attribute.Single(attribute => attribute.Name == "block_size").I = 32; break;
                case "axis of the node": node.Attribute.Single(attribute => attribute.Name == "axis").I = 0; break;
                case "zero point": node.Input.Add("decoder.0.ff.wo"); break;
                case "scales of another": node.Input[1] = "decoder.0.ff.wi.scales"; break;
                case "not turned":
                    RepeatedField<long> order = model.Graph.Node.Single(node => node.Name == "decoder.0.ff.wo/widened").Attribute.Single().Ints;
                    (order[0], order[1]) = (order[1], order[0]);
                    break;
                default: model.Graph.Initializer.Single(weight => weight.Name == "decoder.0.ff.wo").DataType = (int)TensorProto.Types.DataType.Int8; break;
            }

            File.WriteAllBytes(path, model.ToByteArray());
        });
        using ModelBundle bundle = ModelBundle.Open(stored);
        Assert.Contains(said, Assert.Throws<InvalidModelException>(() => BundleGraph.ReadDecoderBlock(bundle, 0)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_manifest_with_other_digits_is_refused_or_works(int seed)
    {
        string stored = ConvertOnly("tiny-v10", WeightPrecision.Int4);
        string path = Path.Combine(stored, "model.json");
        byte[] sound = File.ReadAllBytes(path);
        int begin = sound.AsSpan().IndexOf("\"tensors\""u8);
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < 60; round++)
        {
            byte[] bytes = [.. sound];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                int at = Array.FindIndex(bytes, random.Next(begin, bytes.Length - 4000), value => char.IsAsciiDigit((char)value));
                bytes[at] = (byte)('0' + random.Next(10));
            }

            File.WriteAllBytes(path, bytes);
            try
            {
                using EarlyExitModel model = EarlyExitModel.Load(stored);
                GenerationInput[] rows = [GenerationInput.FromTokenIds([9, 12, 1])];
                Assert.Null(Assert.Single(model.Generate(rows, new TextGenerationOptions { MaxNewTokens = 2 })).Error);
            }
            catch (InvalidModelException exception)
            {
                Assert.Contains(stored, exception.Message, StringComparison.Ordinal);
                refused++;
            }
        }

        Assert.InRange(refused, 15, 60);
    }

    /// <summary>The encoder's output, and the decoder's states of every layer, the embedding first, over that or another: [positions, d].</summary>
    private static float[][] States(EarlyExitModel model, InferenceSession encoder, InferenceSession decoder, float[]? other = null)
    {
        int[] inputIds = [7, 250, 33, 12, 1];
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(encoder, inputIds, model.Configuration.ModelDimension, run);
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory<long>([0, 9, 81, 5], [1, 4]);
        using OrtValue mask = OrtValue.CreateTensorValueFromMemory<long>([1, 1, 1, 1, 1], [1, inputIds.Length]);
        float[] encoded = input.Hidden.GetTensorDataAsSpan<float>().ToArray();
        using OrtValue hidden = OrtValue.CreateTensorValueFromMemory(other ?? encoded, [1, inputIds.Length, model.Configuration.ModelDimension]);
        string[] names = [.. Enumerable.Range(0, model.Configuration.DecoderLayerCount + 1).Select(GraphContract.HiddenStates)];
        using IDisposableReadOnlyCollection<OrtValue> outputs = decoder.Run(
            run, [GraphContract.DecoderInputIds, GraphContract.EncoderOutput, GraphContract.EncoderAttentionMask], [ids, hidden, mask], names);
        return [encoded, .. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }

    /// <summary>The bundle that stores a checkpoint's matrices as whole numbers, and the one of the weights that these stand for.</summary>
    private (string Stored, string Dequantized) Convert(string name, WeightPrecision precision)
    {
        string stored = ConvertOnly(name, precision);
        string dequantized = Path.Combine(_folder.Path, "dequantized");
        DequantizedBundle.Write(TestModels.Checkpoint(name), stored, dequantized);
        return (stored, dequantized);
    }

    private string ConvertOnly(string name, WeightPrecision precision)
    {
        string stored = Path.Combine(_folder.Path, "stored");
        T5Converter.Convert(TestModels.Checkpoint(name), stored, new T5ConversionOptions { Weights = precision });
        return stored;
    }

    private static JsonNode Tensor(JsonNode manifest, string name) => manifest["tensors"]!.AsArray().Single(tensor => (string)tensor!["name"]! == name)!;

    /// <summary>Changes a bundle as someone would who can also write the hashes that fit.</summary>
    private static void Rewrite(string bundle, Action<JsonNode> edit)
    {
        string path = Path.Combine(bundle, BundleManifest.FileName);
        JsonNode manifest = JsonNode.Parse(File.ReadAllBytes(path))!;
        edit(manifest);
        foreach (JsonNode? file in manifest["files"]!.AsArray())
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(bundle, (string)file!["name"]!));
            file["bytes"] = bytes.Length;
            file["sha256"] = System.Convert.ToHexStringLower(SHA256.HashData(bytes));
        }

        File.WriteAllText(path, manifest.ToJsonString());
    }

    private sealed class Row
    {
        [VectorType]
        public int[] Ids { get; set; } = [];
    }
}
