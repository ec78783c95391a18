using System.Globalization;
using System.Security.Cryptography;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>What conversion writes: bundles that open, and graphs that any user of ONNX can load.</summary>
public sealed class BundleFormatTests(ConvertedModels models)
{
    public static TheoryData<string> Names => [.. ConvertedModels.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_bundle_says_what_its_checkpoint_says(string name)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        using T5Checkpoint checkpoint = T5Checkpoint.Open(ConvertedModels.Source(name));
        Assert.Equal(checkpoint.Configuration, bundle.Configuration);
        Assert.Equal(checkpoint.TokenizerPath is not null, bundle.Manifest.TokenizerFile is not null);
        Assert.Equal(
            Directory.EnumerateFiles(bundle.Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal), bundle.FileNames.Order(StringComparer.Ordinal));
        if (checkpoint.TokenizerPath is { } tokenizer)
            Assert.Equal(File.ReadAllBytes(tokenizer), File.ReadAllBytes(Path.Combine(bundle.Folder, bundle.Manifest.TokenizerFile!)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_graph_loads_in_ONNX_Runtime_from_its_path(string name)
    {
        string[] paths = Directory.GetFiles(models.Bundle(name), "*.onnx");
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        Assert.Equal(2 + (3 * bundle.Configuration.DecoderLayerCount), paths.Length);
        foreach (string path in paths)
        {
            using var session = new InferenceSession(path);
            Assert.NotEmpty(session.OutputNames);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_graph_follows_ONNX(string name)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        foreach (string path in Directory.GetFiles(bundle.Folder, "*.onnx"))
            CheckGraph(bundle, path);

        // The library reads these two itself.
        IEnumerable<string> expected = bundle.Manifest.Tensors.Select(tensor => tensor.Name).Except([T5TensorNames.DecoderFinalNorm, T5TensorNames.Head]);
        IEnumerable<string> used = Directory.GetFiles(bundle.Folder, "*.onnx")
            .SelectMany(path => External(Read(path))).Select(tensor => tensor.Name).Distinct();
        Assert.Equal(expected.Order(StringComparer.Ordinal), used.Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_runtime_takes_every_graph(string name)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        AssertTaken(BundleGraph.ReadEncoder(bundle), bundle.Manifest.Graphs.Encoder);
        AssertTaken(BundleGraph.ReadTeacherForcedDecoder(bundle), bundle.Manifest.Graphs.TeacherForcedDecoder);
        for (int layer = 0; layer < bundle.Configuration.DecoderLayerCount; layer++)
        {
            AssertTaken(BundleGraph.ReadDecoderBlock(bundle, layer), bundle.Manifest.Graphs.DecoderBlocks[layer]);
            AssertTaken(BundleGraph.ReadStateKeysValues(bundle, layer), bundle.Manifest.Graphs.StateKeysValues[layer]);
            AssertTaken(BundleGraph.ReadCrossKeysValues(bundle, layer), bundle.Manifest.Graphs.CrossKeysValues[layer]);
        }

        void AssertTaken(ModelProto taken, string file) => Assert.Equal(Read(Path.Combine(bundle.Folder, file)), taken);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Weights_lie_in_the_file_once_and_nothing_else_does(string name)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        byte[] file = File.ReadAllBytes(Path.Combine(bundle.Folder, bundle.Manifest.WeightsFile));
        long end = 0;
        var contents = new Dictionary<string, string>();
        foreach (BundleTensor tensor in bundle.Manifest.Tensors.OrderBy(tensor => tensor.Offset))
        {
            long bytes = Bytes(tensor);
            long alignment = bytes >= 1 << 16 ? 4096 : 64;
            Assert.Equal(0, tensor.Offset % alignment);
            Assert.InRange(tensor.Offset - end, 0, alignment - 1);
            Assert.False(file.AsSpan((int)end, (int)(tensor.Offset - end)).ContainsAnyExcept((byte)0), $"Something lies before {tensor.Name}.");
            string hash = Convert.ToHexString(SHA256.HashData(file.AsSpan((int)tensor.Offset, (int)bytes)));
            Assert.True(contents.TryAdd(hash, tensor.Name), $"{tensor.Name} repeats {contents.GetValueOrDefault(hash)}.");
            end = tensor.Offset + bytes;
        }

        Assert.Equal(file.Length, end);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Weights_are_as_many_as_the_checkpoint_has(string name)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        using T5Checkpoint checkpoint = T5Checkpoint.Open(ConvertedModels.Source(name));
        T5Configuration configuration = checkpoint.Configuration;
        Assert.Equal(0, configuration.KeyValueDimension % 8);

        // Biases are stored by distance instead of by bucket.
        long expected = T5TensorShapes.Required(configuration).Where(tensor => !tensor.Name.Contains("relative_attention_bias", StringComparison.Ordinal))
            .Sum(tensor => BundleTensor.ElementsOf(tensor.Shape));
        expected += BundleTensor.ElementsOf(T5TensorShapes.Embedding(configuration)) * (checkpoint.HeadName == T5TensorShapes.Shared ? 1 : 2);
        Assert.Equal(
            expected,
            bundle.Manifest.Tensors.Where(tensor => !tensor.Name.EndsWith("relative_bias", StringComparison.Ordinal)).Sum(tensor => tensor.ElementCount));
    }

    [Theory]
    [InlineData("tiny-v10", true)]
    [InlineData("tiny-sharded", true)]
    [InlineData("tiny-v11", false)]
    [InlineData("tiny-buckets", false)]
    public void A_tied_head_is_the_embedding(string name, bool isTied)
    {
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        Assert.Equal(isTied, bundle.Manifest.TensorNames.Head == bundle.Manifest.TensorNames.Embedding);
        Assert.Equal(!isTied, bundle.TryGetTensor(T5TensorNames.Head, out _));
    }

    [Fact]
    public void Converting_twice_gives_the_same_bytes()
    {
        using var folder = new TemporaryFolder();
        foreach (string name in (string[])["tiny-sharded", "tiny-v11"])
        {
            string again = folder.File(name);
            T5Converter.Convert(ConvertedModels.Source(name), again);
            Assert.Equal(
                Directory.GetFiles(models.Bundle(name)).Select(Path.GetFileName).Order(StringComparer.Ordinal),
                Directory.GetFiles(again).Select(Path.GetFileName).Order(StringComparer.Ordinal));
            foreach (string path in Directory.GetFiles(again))
                Assert.True(File.ReadAllBytes(path).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(models.Bundle(name), Path.GetFileName(path)))), path);
        }
    }

    /// <summary>Names are unique, inputs are defined before they are used, domains are imported, weights are where the manifest says.</summary>
    private static void CheckGraph(ModelBundle bundle, string path)
    {
        ModelProto model = Read(path);
        GraphProto graph = model.Graph;
        var defined = new HashSet<string>();
        var used = new HashSet<string>();
        foreach (string name in graph.Input.Select(input => input.Name).Concat(graph.Initializer.Select(initializer => initializer.Name)))
            Assert.True(name.Length > 0 && defined.Add(name), $"{path}: '{name}' is defined twice");
        HashSet<string> given = [.. defined];
        var nodes = new HashSet<string>();
        HashSet<string> domains = [.. model.OpsetImport.Select(opset => opset.Domain)];
        Assert.Equal(model.OpsetImport.Count, domains.Count);
        foreach (NodeProto node in graph.Node)
        {
            Assert.True(node.Name.Length > 0 && nodes.Add(node.Name), $"{path}: two nodes '{node.Name}'");
            Assert.Contains(node.Domain, domains);
            foreach (string input in node.Input.Where(input => input.Length > 0))
            {
                Assert.True(defined.Contains(input), $"{path}: '{node.Name}' uses '{input}' before it is there");
                used.Add(input);
            }

            foreach (string output in node.Output)
                Assert.True(output.Length > 0 && defined.Add(output), $"{path}: '{output}' is defined twice");
        }

        Assert.All(graph.Output, output => Assert.Contains(output.Name, defined));
        Assert.Equal(graph.Output.Count, graph.Output.Select(output => output.Name).Distinct().Count());
        Assert.Empty(given.Except(used));
        Assert.Equal(domains.Order(), graph.Node.Select(node => node.Domain).Append("").Distinct().Order());

        var tensors = bundle.Manifest.Tensors.ToDictionary(tensor => tensor.Name);
        long weightsBytes = new FileInfo(Path.Combine(bundle.Folder, bundle.Manifest.WeightsFile)).Length;
        long end = 0;
        foreach (TensorProto tensor in External(model).OrderBy(tensor => Number(tensor, "offset")))
        {
            Assert.Equal(bundle.Manifest.WeightsFile, tensor.ExternalData.Single(entry => entry.Key == "location").Value);
            long offset = Number(tensor, "offset");
            long length = Number(tensor, "length");
            Assert.True(offset >= end, $"{path}: '{tensor.Name}' overlaps another");
            end = offset + length;
            Assert.InRange(end, 1, weightsBytes);
            Assert.Equal(tensor.Dims.Aggregate(4L, (product, dimension) => product * dimension), length);
            Assert.Equal(tensors[tensor.Name].Offset, offset);
            Assert.Equal(tensors[tensor.Name].Shape.Select(dimension => (long)dimension), tensor.Dims);
        }
    }

    private static ModelProto Read(string path) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));

    private static IEnumerable<TensorProto> External(ModelProto model) =>
        model.Graph.Initializer.Where(tensor => tensor.DataLocation == TensorProto.Types.DataLocation.External);

    private static long Number(TensorProto tensor, string key) =>
        long.Parse(tensor.ExternalData.Single(entry => entry.Key == key).Value, CultureInfo.InvariantCulture);

    private static long Bytes(BundleTensor tensor) => tensor.ByteCount;
}
