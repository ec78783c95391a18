using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Of the graphs that run on a GPU no node is left to the CPU, and ONNX Runtime finds their types and shapes sound.</summary>
public sealed class DevicePlacementTests
{
    private static readonly CudaKernels s_kernels = new();

    public static TheoryData<T5Activation, bool, int, WeightPrecision> Kinds =>
    [
        .. from activation in Enum.GetValues<T5Activation>()
           from gated in (bool[])[false, true]
           from headWidth in (int[])[5, 8]
           from weights in (WeightPrecision[])[WeightPrecision.Float32, WeightPrecision.BFloat16]
           select new TheoryDataRow<T5Activation, bool, int, WeightPrecision>(activation, gated, headWidth, weights),
    ];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Cuda_has_a_kernel_for_every_node(T5Activation activation, bool gated, int headWidth, WeightPrecision weights)
    {
        using var folder = new TemporaryFolder();
        T5Configuration sizes = TinyCheckpoint.Sizes with { Activation = activation, GatedFeedForward = gated, KeyValueDimension = headWidth };
        using ModelBundle bundle = Convert(folder, sizes, weights);
        Assert.All(Graphs(bundle), model =>
        {
            Assert.Empty(s_kernels.Unplaced(model.Graph));
            AssertSound(model, bundle);
        });

        // Every weight in bf16 is multiplied as it is: the embedding's rows alone are widened, and the head, whose logits are not to be rounded.
        if (weights == WeightPrecision.BFloat16)
        {
            foreach (ModelProto model in Graphs(bundle))
            {
                Assert.All(model.Graph.Node.Where(node => node.OpType == "MatMul" && IsWeight(node.Input[1])), node =>
                    Assert.Equal(TensorProto.Types.DataType.Bfloat16, (TensorProto.Types.DataType)Weight(node.Input[1]).DataType));
                Assert.All(model.Graph.Node.Where(node => node.OpType == "Cast"), node => Assert.False(IsWeight(node.Input[0]) && node.Input[0] != "embedding"
                    && node.Input[0] != "head"));

                TensorProto Weight(string name) => model.Graph.Initializer.Single(one => one.Name == name);

                bool IsWeight(string name) => model.Graph.Initializer.Any(one => one.Name == name && one.ExternalData.Count > 0);
            }
        }
    }

    [Fact]
    public void The_graphs_of_a_bundle_as_they_are_would_leave_attention_to_the_cpu()
    {
        using var folder = new TemporaryFolder();
        using ModelBundle bundle = Convert(folder, TinyCheckpoint.Sizes, WeightPrecision.Float32);
        IReadOnlyList<string> unplaced = s_kernels.Unplaced(SegmentComposer.Compose([BundleGraph.ReadDecoderBlock(bundle, 0)], 1, packed: false).Graph);
        Assert.Equal(2, unplaced.Count);
        Assert.All(unplaced, node => Assert.StartsWith("GroupQueryAttention(tensor(float)", node, StringComparison.Ordinal));
    }

    private static ModelBundle Convert(TemporaryFolder folder, T5Configuration sizes, WeightPrecision weights)
    {
        Directory.CreateDirectory(folder.File("source"));
        new TinyCheckpoint(sizes).Write(folder.File("source"));
        T5Converter.Convert(folder.File("source"), folder.File("bundle"), new T5ConversionOptions { Weights = weights });
        return ModelBundle.Open(folder.File("bundle"));
    }

    /// <summary>All that a model runs on a device.</summary>
    private static IEnumerable<ModelProto> Graphs(ModelBundle bundle)
    {
        int layers = bundle.Configuration.DecoderLayerCount;
        foreach (ModelProto sequence in new[] { BundleGraph.ReadEncoder(bundle), BundleGraph.ReadTeacherForcedDecoder(bundle) })
            yield return DeviceGraph.OfSequence(sequence, narrow: true);
        foreach (int first in new[] { 0, layers - 1 })
        {
            ModelProto[] blocks = [.. Enumerable.Range(first, layers - first).Select(layer => BundleGraph.ReadDecoderBlock(bundle, layer))];
            yield return DeviceGraph.OfBlocks(SegmentComposer.Compose(blocks, first + 1, packed: false), narrow: true);
        }

        foreach (ModelProto keysValues in new[] { BundleGraph.ReadStateKeysValues(bundle, 0), BundleGraph.ReadCrossKeysValues(bundle, 0) })
            yield return DeviceGraph.OfKeysValues(keysValues, bundle, narrow: true);
        yield return DeviceGraph.Head(bundle);
    }

    /// <summary>A session on the CPU is made of the graph, or fails for nothing but that the CPU does not multiply in bf16.</summary>
    private static void AssertSound(ModelProto model, ModelBundle bundle)
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        options.AddSessionConfigEntry("session.strict_shape_type_inference", "1");
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(bundle.WeightsPath)!);
        try
        {
            new InferenceSession(model.ToByteArray(), options).Dispose();
        }
        catch (OnnxRuntimeException exception)
        {
            Assert.Contains("Could not find an implementation for MatMul(13)", exception.Message, StringComparison.Ordinal);
            Assert.Contains(model.Graph.Initializer, initializer => initializer.DataType == (int)TensorProto.Types.DataType.Bfloat16);
        }
    }
}
