using System.Text.Json.Nodes;
using Google.Protobuf;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Bundles that store their matrices in bfloat16 are the models whose weights are rounded so: everything they compute is equal.</summary>
[Collection("Native memory")]
public sealed class StoredWeightsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<string> Policies => [.. StoredWeightsPolicies.All.Keys];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Policies))]
    public void Texts_exits_and_confidences_are_those_of_the_rounded_checkpoint(string policy)
    {
        (string stored, string rounded) = Convert(TestModels.Exits);
        var options = new TextGenerationOptions { MaxNewTokens = 24, MinNewTokens = 12, BatchSize = 3, Exit = StoredWeightsPolicies.All[policy], Trace = true };
        GenerationInput[] rows = [.. Enumerable.Range(0, 7).Select(row => GenerationInput.FromTokenIds([.. Ids(row), 1]))];
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel copied = EarlyExitModel.Load(stored, new EarlyExitModelOptions { CopyWeights = true });
        using EarlyExitModel reference = EarlyExitModel.Load(rounded);
        IReadOnlyList<GenerationResult> expected = reference.Generate(rows, options, TestContext.Current.CancellationToken);
        Assert.All([model, copied], one =>
        {
            IReadOnlyList<GenerationResult> results = one.Generate(rows, options, TestContext.Current.CancellationToken);
            for (int row = 0; row < rows.Length; row++)
            {
                Assert.Null(results[row].Error);
                Assert.Equal(expected[row].TokenIds, results[row].TokenIds);
                Assert.Equal(expected[row].ExitLayers, results[row].ExitLayers);
                Assert.Equal(expected[row].Confidences, results[row].Confidences);
            }
        });

        static IEnumerable<int> Ids(int row) => Enumerable.Range(1, 4 + (3 * row)).Select(id => 5 + (id * (row + 3) % 900));
    }

    [Fact]
    public void Hidden_states_of_a_target_are_equal_to_the_bit_and_other_tools_see_the_same()
    {
        (string stored, string rounded) = Convert("tiny-v11");
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel reference = EarlyExitModel.Load(rounded);
        float[][] expected = States(reference, reference.Sessions.Encoder, reference.Sessions.TeacherForcedDecoder);
        using var encoder = new InferenceSession(Path.Combine(stored, "encoder.onnx"));
        using var decoder = new InferenceSession(Path.Combine(stored, "decoder-teacher-forced.onnx"));
        float[][] own = States(model, model.Sessions.Encoder, model.Sessions.TeacherForcedDecoder);
        float[][] theirs = States(model, encoder, decoder);
        for (int layer = 0; layer < expected.Length; layer++)
        {
            Assert.Equal(expected[layer], own[layer]);
            // Their attention is in other operators, which round otherwise.
            float largest = expected[layer].Max(Math.Abs);
            for (int index = 0; index < expected[layer].Length; index++)
                Assert.Equal(expected[layer][index], theirs[layer][index], 1e-5 * largest);
        }
    }

    [Fact]
    public void Weights_that_are_stored_so_in_the_checkpoint_make_the_same_bundle()
    {
        (string stored, _) = Convert("tiny-v11");
        string source = Path.Combine(_folder.Path, "half");
        string again = Path.Combine(_folder.Path, "from-half");
        RoundedCheckpoint.Write(TestModels.Checkpoint("tiny-v11"), source, asBFloat16: true);
        T5Converter.Convert(source, again, new T5ConversionOptions { Weights = WeightPrecision.BFloat16 });
        Assert.All(Directory.GetFiles(stored), path => Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(Path.Combine(again, Path.GetFileName(path)))));
    }

    [Fact]
    public void A_saved_pipeline_carries_the_stored_weights()
    {
        (string stored, _) = Convert(TestModels.Exits);
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable([new Row { Ids = [5, 6, 7, 1] }, new Row { Ids = [90, 14, 700, 3, 1] }]);
        string zip = Path.Combine(_folder.Path, "model.zip");
        int[][] expected;
        using (TextGenerationTransformer fitted = context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            TokenIdsColumnName = "Output",
            InputColumnName = nameof(Row.Ids),
            ModelPath = stored,
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 8, MinNewTokens = 8 },
        }).Fit(data))
        {
            expected = Read(fitted);
            context.Model.Save(fitted, data.Schema, zip);
        }

        Directory.Delete(stored, recursive: true);
        ITransformer loaded = new MLContext().Model.Load(zip, out _);
        using var disposable = (IDisposable)loaded;
        Assert.Equal(expected, Read(loaded));
        Assert.Equal(8, expected[0].Length);

        int[][] Read(ITransformer transformer) =>
            [.. transformer.Transform(data).GetColumn<VBuffer<int>>("Output").Select(ids => ids.DenseValues().ToArray())];
    }

    [Fact]
    public void A_changed_weights_file_is_noticed()
    {
        (string stored, _) = Convert("tiny-v11");
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        model.Generate([GenerationInput.FromTokenIds([9, 1])], cancellationToken: TestContext.Current.CancellationToken);
        string weights = Path.Combine(stored, "weights.bin");
        File.SetLastWriteTimeUtc(weights, File.GetLastWriteTimeUtc(weights).AddSeconds(-5));
        GenerationInput[] rows = [GenerationInput.FromTokenIds([9, 1])];
        Assert.Throws<InvalidModelException>(() => model.Generate(rows, cancellationToken: TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_disposed_model_leaves_no_widened_weights_behind()
    {
        (string stored, _) = Convert("tiny-v11");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        using (EarlyExitModel model = EarlyExitModel.Load(stored))
            model.Generate([GenerationInput.FromTokenIds([9, 1])], cancellationToken: TestContext.Current.CancellationToken);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Fact]
    public void A_version_2_manifest_without_types_is_in_single_precision()
    {
        string folder = Path.Combine(_folder.Path, "second-version");
        T5Converter.Convert(TestModels.Checkpoint("tiny-v11"), folder);
        Edit(folder, root => root["formatVersion"] = 2);
        using ModelBundle bundle = ModelBundle.Open(folder);
        Assert.Equal(WeightPrecision.Float32, bundle.Manifest.Precision);
        Assert.All(bundle.Manifest.Tensors, tensor => Assert.Equal(WeightPrecision.Float32, tensor.Type));
    }

    [Theory]
    [InlineData("unknown type", "'fp8'", "fp32, bf16")]
    [InlineData("type a number", "no string", "fp32, bf16")]
    [InlineData("matrix in fp32", "'embedding' is of type fp32", "must be bf16")]
    [InlineData("norm in bf16", "'decoder.final_norm' is of type bf16", "must be fp32")]
    [InlineData("types without the precision", "'embedding' is of type bf16", "must be fp32")]
    [InlineData("first version", "bf16", "version 1")]
    [InlineData("offset odd", "'embedding' at offset 1", "weights.bin")]
    [InlineData("one row too many", "'decoder.4.ff.wo' at offset", "weights.bin")]
    [InlineData("norm named as a matrix", "tensor 'norms' is of type bf16", "not fp32")]
    public void Manifests_whose_types_do_not_fit_are_refused(string damage, params string[] said)
    {
        (string stored, _) = Convert("tiny-v11");
        Edit(stored, root =>
        {
            JsonArray tensors = root["tensors"]!.AsArray();
            JsonNode embedding = tensors.Single(tensor => (string)tensor!["name"]! == "embedding")!;
            JsonNode norm = tensors.Single(tensor => (string)tensor!["name"]! == "decoder.final_norm")!;
            switch (damage)
            {
                case "unknown type": embedding["type"] = "fp8"; break;
                case "type a number": embedding["type"] = 1; break;
                case "matrix in fp32": embedding.AsObject().Remove("type"); break;
                case "norm in bf16": norm["type"] = "bf16"; break;
                case "types without the precision": root["precision"] = "fp32"; break;
                case "first version": root["formatVersion"] = 1; break;
                case "offset odd": embedding["offset"] = 1; break;
                case "one row too many":
                    JsonNode last = tensors.Last(tensor => (string)tensor!["name"]! == "decoder.4.ff.wo")!;
                    last["shape"]![0] = (int)last["shape"]![0]! * 1000;
                    break;
                default:
                    JsonNode copy = norm.DeepClone();
                    copy["name"] = "norms";
                    copy["type"] = "bf16";
                    tensors.Add(copy);
                    root["tensorNames"]!["decoderFinalNorm"] = "norms";
                    break;
            }
        });
        string message = Assert.Throws<InvalidModelException>(() => ModelBundle.Open(stored)).Message;
        Assert.All(said, words => Assert.Contains(words, message, StringComparison.Ordinal));
    }

    [Fact]
    public void A_graph_that_calls_stored_weights_single_precision_is_refused()
    {
        (string stored, _) = Convert("tiny-v11");
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(stored, "decoder-block-01.onnx")));
        model.Graph.Initializer.Single(weight => weight.Name == "decoder.0.self.q").DataType = (int)TensorProto.Types.DataType.Float;
        byte[] graph = model.ToByteArray();
        File.WriteAllBytes(Path.Combine(stored, "decoder-block-01.onnx"), graph);
        Edit(stored, root =>
        {
            JsonNode file = root["files"]!.AsArray().Single(file => (string)file!["name"]! == "decoder-block-01.onnx")!;
            file["bytes"] = graph.Length;
            file["sha256"] = System.Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(graph));
        });
        using ModelBundle bundle = ModelBundle.Open(stored);
        Assert.Contains("another type", Assert.Throws<InvalidModelException>(() => BundleGraph.ReadDecoderBlock(bundle, 0)).Message, StringComparison.Ordinal);
    }

    /// <summary>For every layer, the embedding first: [positions, d].</summary>
    private static float[][] States(EarlyExitModel model, InferenceSession encoder, InferenceSession decoder)
    {
        int[] inputIds = [7, 250, 33, 12, 1];
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(encoder, inputIds, model.Configuration.ModelDimension, run);
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory<long>([0, 9, 81, 5], [1, 4]);
        using OrtValue mask = OrtValue.CreateTensorValueFromMemory<long>([1, 1, 1, 1, 1], [1, inputIds.Length]);
        float[] encoded = input.Hidden.GetTensorDataAsSpan<float>().ToArray();
        using OrtValue hidden = OrtValue.CreateTensorValueFromMemory(encoded, [1, inputIds.Length, model.Configuration.ModelDimension]);
        string[] names = [.. Enumerable.Range(0, model.Configuration.DecoderLayerCount + 1).Select(GraphContract.HiddenStates)];
        using IDisposableReadOnlyCollection<OrtValue> outputs = decoder.Run(
            run, [GraphContract.DecoderInputIds, GraphContract.EncoderOutput, GraphContract.EncoderAttentionMask], [ids, hidden, mask], names);
        return [.. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }

    /// <summary>The bundle that stores a checkpoint's matrices in bfloat16, and the one of the checkpoint that was rounded beforehand.</summary>
    private (string Stored, string Rounded) Convert(string name)
    {
        string stored = Path.Combine(_folder.Path, "stored");
        string rounded = Path.Combine(_folder.Path, "rounded");
        RoundedCheckpoint.Write(TestModels.Checkpoint(name), Path.Combine(_folder.Path, "checkpoint"), asBFloat16: false);
        T5Converter.Convert(TestModels.Checkpoint(name), stored, new T5ConversionOptions { Weights = WeightPrecision.BFloat16 });
        T5Converter.Convert(Path.Combine(_folder.Path, "checkpoint"), rounded);
        return (stored, rounded);
    }

    private static void Edit(string bundle, Action<JsonNode> edit)
    {
        string path = Path.Combine(bundle, BundleManifest.FileName);
        JsonNode manifest = JsonNode.Parse(File.ReadAllBytes(path))!;
        edit(manifest);
        File.WriteAllText(path, manifest.ToJsonString());
    }

    private sealed class Row
    {
        [VectorType]
        public int[] Ids { get; set; } = [];
    }
}
