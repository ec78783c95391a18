using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Onnx;
using static Microsoft.ML.EarlyExit.Model.Graphs.GraphBuilder;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Makes a bundle's checked graphs, in memory, into ones that ONNX Runtime's CUDA provider runs whole, over caches in the device's memory.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>Weights that are stored in bf16 are multiplied as they are: a product's input is rounded to bf16, its output widened. Norms, the residual stream,
/// attention and caches stay in single precision.</item>
/// <item>Attention is plain products and a softmax over the whole caches. The provider's <c>GroupQueryAttention</c> takes fp16, in which a T5 overflows, and
/// bf16, which rounds scores that a T5 does not scale; its list of kernels does not say whether it takes a bias there. The products of single precision that
/// stand in for it read few bytes beside the weights.</item>
/// <item>Every slot runs: <see cref="Active"/> says which count, the others have a state of zero and write to entry 0 of their own caches, which
/// <c>self_bias</c> masks. So the residual stream stays at its place on the device while rows exit, and nothing of a slot can reach another. What
/// <c>self_bias</c> must mask beside it is all after a position's own key.</item>
/// <item>Lengths are inputs: the provider leaves what follows from a <c>Shape</c> to the CPU.</item>
/// </list>
/// </remarks>
internal static class DeviceGraph
{
    /// <summary>bool [slots, 1, 1].</summary>
    public const string Active = "active";

    /// <summary>Where keys and values of a run go: int64 [slots, positions, heads, 3], a slot, a head and an entry each.</summary>
    public const string SelfEntries = "self_entries";

    /// <summary>The same as <see cref="GraphContract.HiddenOut"/>, to be taken to the host while that stays.</summary>
    public const string HiddenHost = "hidden_host";

    /// <summary>int64 [sequence], 0 and on: of whole sequences.</summary>
    public const string Positions = "positions";

    /// <summary>As <see cref="SelfEntries"/> for graphs that give keys and values alone: int64 [positions, heads, 3].</summary>
    public const string Entries = "entries";

    public const string Keys = "keys";
    public const string Values = "values";
    public const string PresentKeys = "present_keys";
    public const string PresentValues = "present_values";

    /// <summary>[rows, d]: normed and scaled hidden states.</summary>
    public const string HeadInput = "head_input";

    /// <summary>[rows, V].</summary>
    public const string Logits = "logits";

    private const string FusedProduct = "FusedMatMul";
    private const string HeadsShape = "device/heads_shape";
    private const string InnerShape = "device/inner_shape";
    private const string Zero = "device/zero";

    /// <summary>
    /// The product with the LM head, which a bundle has no graph for: in single precision, whatever the head is stored in, as logits in bf16 would be tied.
    /// </summary>
    public static ModelProto Head(ModelBundle bundle)
    {
        var weights = bundle.Manifest.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        var graph = new GraphBuilder("head", weights, bundle.Manifest.WeightsFile);
        graph.Input(HeadInput, DataType.Float, "rows", bundle.Configuration.ModelDimension);
        string head = graph.Weight(bundle.Manifest.TensorNames.Head);
        graph.Node(Logits, FusedProduct, [HeadInput, head], [Logits], GraphContract.ContribDomain, Attribute("transB", 1L));
        graph.Output(Logits, "rows", bundle.Configuration.VocabularySize);
        return graph.Build();
    }

    /// <summary>Multiplies weights that are stored in bf16 as they are.</summary>
    private static void NarrowProducts(GraphProto graph)
    {
        var stored = graph.Node.Where(node => node.Name.EndsWith(GraphContract.WidenedSuffix, StringComparison.Ordinal))
            .ToDictionary(node => node.Output[0], node => node.Input[0], StringComparer.Ordinal);
        var narrowed = new HashSet<string>(StringComparer.Ordinal);
        foreach (NodeProto node in TakeNodes(graph))
        {
            if (stored.ContainsKey(node.Output[0]))
                continue;
            if (node.OpType != "MatMul" || !stored.TryGetValue(node.Input[1], out string? weight))
            {
                graph.Node.Add(node);
                continue;
            }

            // Some products read the same input.
            string input = node.Input[0] + "/narrowed";
            if (narrowed.Add(input))
                Add(graph, input, "Cast", [node.Input[0]], Attribute("to", (long)DataType.Bfloat16));
            string product = node.Output[0] + "/narrow";
            Add(graph, product, "MatMul", [input, weight]);
            Add(graph, node.Output[0], "Cast", [product], Attribute("to", (long)DataType.Float));
        }
    }

    /// <summary>Of blocks that were composed without packing.</summary>
    /// <param name="model">The blocks; they stay as they are.</param>
    /// <param name="narrow">Whether weights that are stored in bf16 are multiplied as they are.</param>
    public static ModelProto OfBlocks(ModelProto model, bool narrow) => Changed(model, MakeBlocks, narrow);

    /// <summary>Of a graph that gives keys and values: they go into caches.</summary>
    /// <inheritdoc cref="OfBlocks"/>
    public static ModelProto OfKeysValues(ModelProto model, ModelBundle bundle, bool narrow) =>
        Changed(model, graph => StoreKeysValues(graph, bundle.Configuration.HeadCount, bundle.Manifest.GraphHeadDimension), narrow);

    /// <summary>Of a graph over a whole sequence: it takes the positions instead of counting them.</summary>
    /// <inheritdoc cref="OfBlocks"/>
    public static ModelProto OfSequence(ModelProto model, bool narrow) => Changed(model, TakePositions, narrow);

    private static ModelProto Changed(ModelProto model, Action<GraphProto> change, bool narrow)
    {
        model = model.Clone();
        change(model.Graph);
        if (narrow)
            NarrowProducts(model.Graph);
        return model;
    }

    private static void MakeBlocks(GraphProto graph)
    {
        (int heads, int headWidth) = CacheSizes(graph);
        foreach (NodeProto node in TakeNodes(graph))
        {
            if (graph.Node.Count == 0)
                Add(graph, "device/hidden", "Where", [Active, GraphContract.Hidden, Zero]);
            for (int input = 0; input < node.Input.Count; input++)
            {
                if (node.Input[input] == GraphContract.Hidden)
                    node.Input[input] = "device/hidden";
            }

            if (node.OpType == GraphContract.CachedAttention)
                Attend(graph, node);
            else
                graph.Node.Add(node);
            if (node.Output[0] != GraphContract.HiddenOut)
                continue;

            // Twice, since ONNX Runtime's CUDA provider has no Identity of this version.
            NodeProto host = node.Clone();
            host.Name += "/host";
            host.Output[0] = HiddenHost;
            graph.Node.Add(host);
        }

        AddShapes(graph, heads, headWidth);
        graph.Initializer.Add(new TensorProto { Name = Zero, DataType = (int)DataType.Float, RawData = ByteString.CopyFrom(new byte[sizeof(float)]) });
        foreach (string unused in new[] { GraphContract.SelfLengths, GraphContract.SelfCapacity, GraphContract.CrossLengths, GraphContract.CrossCapacity })
            graph.Input.Remove(graph.Input.First(input => input.Name == unused));
        foreach (ValueInfoProto output in graph.Output.Where(output => IsCrossPresent(output.Name)).ToList())
            graph.Output.Remove(output);
        foreach (ValueInfoProto value in new[] { graph.Input.First(input => input.Name == GraphContract.Hidden), graph.Output.First(IsHiddenOut) })
            value.Type.TensorType.Shape.Dim[0].DimParam = "slots";
        ValueInfoProto hidden = graph.Output.First(IsHiddenOut).Clone();
        hidden.Name = HiddenHost;
        graph.Output.Add(hidden);
        graph.Input.Add(ValueInfo(Active, DataType.Bool, "slots", 1, 1));
        graph.Input.Add(ValueInfo(SelfEntries, DataType.Int64, "slots", "positions", heads, 3));
    }

    private static void StoreKeysValues(GraphProto graph, int heads, int headWidth)
    {
        Add(graph, "device/split", "Split", [GraphContract.KeysValues], Attribute("axis", -1L), Attribute("num_outputs", 2L));
        graph.Node[^1].Output.Clear();
        graph.Node[^1].Output.AddRange(["device/keys", "device/values"]);
        graph.Output.Clear();
        graph.Input.Add(ValueInfo(Entries, DataType.Int64, "positions", heads, 3));
        foreach ((string part, string past, string present) in new[] { ("device/keys", Keys, PresentKeys), ("device/values", Values, PresentValues) })
        {
            Add(graph, part + "/heads", "Reshape", [part, HeadsShape]);
            Add(graph, present, "ScatterND", [past, Entries, part + "/heads"]);
            graph.Input.Add(ValueInfo(past, DataType.Float, "slots", heads, "capacity", headWidth));
            graph.Output.Add(ValueInfo(present, DataType.Float, "slots", heads, "capacity", headWidth));
        }

        graph.Initializer.Add(Shape(HeadsShape, 0, heads, headWidth));
    }

    private static void TakePositions(GraphProto graph)
    {
        NodeProto range = graph.Node.Single(node => node.OpType == "Range");
        var counted = new HashSet<string>(StringComparer.Ordinal) { range.Output[0] };

        // From the last node on: all that leads to the positions, and to nothing else.
        foreach (NodeProto node in graph.Node.Reverse())
        {
            if (counted.Contains(node.Output[0]))
                counted.UnionWith(node.Input);
        }

        foreach (NodeProto node in TakeNodes(graph))
        {
            if (counted.Contains(node.Output[0]))
                continue;
            for (int input = 0; input < node.Input.Count; input++)
            {
                if (node.Input[input] == range.Output[0])
                    node.Input[input] = Positions;
            }

            // Only names a value; see above.
            if (node.OpType == "Identity")
                graph.Node.Single(other => other.Output[0] == node.Input[0]).Output[0] = node.Output[0];
            else
                graph.Node.Add(node);
        }

        graph.Input.Add(ValueInfo(Positions, DataType.Int64, "sequence"));
    }

    /// <summary>What <see cref="GraphContract.CachedAttention"/> computes.</summary>
    private static void Attend(GraphProto graph, NodeProto attention)
    {
        string at = attention.Name;
        (string query, string keys, string values) = (attention.Input[0], attention.Input[3], attention.Input[4]);

        // The query stands in for the key that the kernel appends of cross-attention; here none is.
        if (attention.Input[1].Length == 0)
        {
            Add(graph, $"{at}/split", "Split", [query], Attribute("axis", -1L), Attribute("num_outputs", 3L));
            graph.Node[^1].Output.Clear();
            graph.Node[^1].Output.AddRange([$"{at}/query", $"{at}/key", $"{at}/value"]);
            query = $"{at}/query";
            keys = Store($"{at}/key", keys, attention.Output[1]);
            values = Store($"{at}/value", values, attention.Output[2]);
        }

        Add(graph, $"{at}/query_heads", "Reshape", [query, HeadsShape]);
        Add(graph, $"{at}/queries", "Transpose", [$"{at}/query_heads"], Attribute("perm", 0L, 2L, 1L, 3L));
        Add(graph, $"{at}/scores", FusedProduct, [$"{at}/queries", keys], Attribute("transB", 1L));
        graph.Node[^1].Domain = GraphContract.ContribDomain;
        Add(graph, $"{at}/biased", "Add", [$"{at}/scores", attention.Input[^1]]);
        Add(graph, $"{at}/probabilities", "Softmax", [$"{at}/biased"], Attribute("axis", -1L));
        Add(graph, $"{at}/mixed", "MatMul", [$"{at}/probabilities", values]);
        Add(graph, $"{at}/by_position", "Transpose", [$"{at}/mixed"], Attribute("perm", 0L, 2L, 1L, 3L));
        Add(graph, attention.Output[0], "Reshape", [$"{at}/by_position", InnerShape]);

        string Store(string part, string past, string present)
        {
            Add(graph, $"{part}_heads", "Reshape", [part, HeadsShape]);
            Add(graph, present, "ScatterND", [past, SelfEntries, $"{part}_heads"]);
            return present;
        }
    }

    private static (int Heads, int HeadWidth) CacheSizes(GraphProto graph)
    {
        string keys = graph.Node.First(node => node.OpType == GraphContract.CachedAttention).Input[3];
        TensorShapeProto shape = graph.Input.First(input => input.Name == keys).Type.TensorType.Shape;
        return ((int)shape.Dim[1].DimValue, (int)shape.Dim[3].DimValue);
    }

    private static bool IsCrossPresent(string name) =>
        name.StartsWith(GraphContract.PresentCrossKeys, StringComparison.Ordinal)
        || name.StartsWith(GraphContract.PresentCrossValues, StringComparison.Ordinal);

    private static bool IsHiddenOut(ValueInfoProto value) => value.Name == GraphContract.HiddenOut;

    private static NodeProto[] TakeNodes(GraphProto graph)
    {
        NodeProto[] nodes = [.. graph.Node];
        graph.Node.Clear();
        return nodes;
    }

    private static void AddShapes(GraphProto graph, int heads, int headWidth)
    {
        graph.Initializer.Add(Shape(HeadsShape, 0, 0, heads, headWidth));
        graph.Initializer.Add(Shape(InnerShape, 0, 0, (long)heads * headWidth));
    }

    private static TensorProto Shape(string name, params ReadOnlySpan<long> sizes) => new()
    {
        Name = name,
        DataType = (int)DataType.Int64,
        Dims = { sizes.Length },
        RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(sizes)),
    };

    /// <summary>Adds a node of one output, which bears the node's name.</summary>
    private static void Add(GraphProto graph, string name, string operation, string[] inputs, params ReadOnlySpan<AttributeProto> attributes)
    {
        var node = new NodeProto { Name = name, OpType = operation, Input = { inputs }, Output = { name } };
        foreach (AttributeProto attribute in attributes)
            node.Attribute.Add(attribute);
        graph.Node.Add(node);
    }
}
