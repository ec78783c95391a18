using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes an ONNX graph: as what it is, as protobuf, or as bytes.</summary>
internal static class GraphMutator
{
    private const string Contributed = "com.microsoft";

    private static readonly string[] s_operators =
    [
        "Abs", "Add", "ArgMax", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "CumSum", "DepthToSpace", "Div", "Einsum", "Equal", "Erf",
        "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Identity", "If", "IsNaN", "LayerNormalization",
        "Less", "Log", "Loop", "MatMul", "Max", "Mod", "Mul", "Multinomial", "Neg", "NonZero", "OneHot", "Pad", "Pow", "RandomNormal", "RandomUniformLike",
        "Range", "Reciprocal", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "ReverseSequence", "Round", "Scan", "ScatterElements", "ScatterND",
        "SequenceAt", "Shape", "Sigmoid", "Size", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "StringNormalizer", "Sub", "Tanh", "Tile", "TopK",
        "Transpose", "Trilu", "Unique", "Unsqueeze", "Upsample", "Where", "Xor",
    ];

    private static readonly string[] s_contributedOperators =
    [
        "Attention", "BiasGelu", "DecoderMaskedMultiHeadAttention", "EmbedLayerNormalization", "EPContext", "FusedMatMul", "GatherBlockQuantized", "Gelu",
        "GroupQueryAttention", "MatMulNBits", "MoE", "MultiHeadAttention", "PackedAttention", "QAttention", "RotaryEmbedding", "SimplifiedLayerNormalization",
        "SkipLayerNormalization", "SparseAttention", "Tokenizer", "WordConvEmbedding",
    ];

    private static readonly string[] s_attributes =
    [
        "axis", "axes", "to", "num_heads", "kv_num_heads", "scale", "do_rotary", "rotary_interleaved", "local_window_size", "smooth_softmax", "softcap",
        "qk_output", "epsilon", "transA", "perm", "value", "value_ints", "shape", "k", "p", "keepdims", "allowzero", "start", "end", "body",
        "mask_filter_value", "unidirectional",
    ];

    public static byte[] Mutate(byte[] graph, HostileRandom random)
    {
        if (!random.Chance(70))
            return random.Chance(60) ? ProtobufMutator.Mutate(graph, random) : ByteMutator.Mutate(graph, random);
        try
        {
            ModelProto model = ModelProto.Parser.ParseFrom(graph);
            if (model.Graph is null || model.Graph.Node.Count == 0)
                return ByteMutator.Mutate(graph, random);
            Change(model, random);
            return model.ToByteArray();
        }
        catch (InvalidProtocolBufferException)
        {
            // An earlier change has left no message.
            return ByteMutator.Mutate(graph, random);
        }
    }

    private static void Change(ModelProto model, HostileRandom random)
    {
        GraphProto graph = model.Graph;
        NodeProto node = random.Pick(graph.Node);
        TensorProto? tensor = graph.Initializer.Count > 0 ? random.Pick(graph.Initializer) : null;
        switch (random.Next(22))
        {
            case 0 or 1:
                ChangeAttribute(node, random);
                break;
            case 2:
                node.OpType = random.Pick(random.Chance(70) ? s_operators : s_contributedOperators);
                break;
            case 3:
                node.OpType = random.Pick(graph.Node).OpType;
                break;
            case 4:
                node.Domain = random.Pick(
                    ["", Contributed, "ai.onnx.ml", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.training", "microsoft.ml.earlyexit"]);
                break;
            case 5 or 6:
                Set(node.Input, random, Names(graph, random));
                break;
            case 7:
                if (random.Chance(50) && node.Input.Count > 0)
                    node.Input.RemoveAt(random.Next(node.Input.Count));
                else
                    node.Input.Add(Names(graph, random));
                break;
            case 8:
                Set(node.Output, random, Names(graph, random));
                break;
            case 9:
                graph.Node.Remove(node);
                break;
            case 10:
                graph.Node.Insert(random.Next(graph.Node.Count + 1), random.Pick(graph.Node).Clone());
                break;
            case 11 or 12:
                ChangeConstant(graph, random);
                break;
            case 13 when tensor is not null:
                ChangeTensor(tensor, random);
                break;
            case 14 when tensor is not null:
                ChangeExternal(tensor, random);
                break;
            case 15:
                ValueInfoProto value = random.Pick(random.Chance(50) ? graph.Input : graph.Output);
                if (value.Type?.TensorType?.Shape is { Dim.Count: > 0 } shape && random.Chance(70))
                    random.Pick(shape.Dim).DimValue = random.Number();
                else
                    value.Name = Names(graph, random);
                break;
            case 16:
                if (random.Chance(50) && model.OpsetImport.Count > 0)
                    random.Pick(model.OpsetImport).Version = random.Pick([0, 1, 7, 11, 13, 17, 21, 22, 23, 24, 25, 30, random.Number()]);
                else
                    model.IrVersion = random.Pick([0, 3, 8, 9, 10, 11, 12, 13, random.Number()]);
                break;
            case 17 or 18:
                Grow(graph, random);
                break;
            case 19:
                InsertLoop(graph, random);
                break;
            case 20:
                Double(graph, random);
                break;
            default:
                InsertNode(graph, random);
                break;
        }
    }

    private static void Set(RepeatedField<string> names, HostileRandom random, string name)
    {
        if (names.Count > 0)
            names[random.Next(names.Count)] = name;
    }

    /// <summary>A value of the graph, or none.</summary>
    private static string Names(GraphProto graph, HostileRandom random) => random.Next(8) switch
    {
        0 => "",
        1 => "nowhere",
        2 or 3 => random.Pick(graph.Input).Name,
        4 or 5 when graph.Initializer.Count > 0 => random.Pick(graph.Initializer).Name,
        _ when random.Pick(graph.Node) is { Output.Count: > 0 } node => random.Pick(node.Output),
        _ => "x",
    };

    private static void ChangeAttribute(NodeProto node, HostileRandom random)
    {
        if (node.Attribute.Count == 0 || random.Chance(30))
        {
            node.Attribute.Add(new AttributeProto
            {
                Name = random.Pick(s_attributes),
                // One of float, int, string, floats and ints.
                Type = (AttributeProto.Types.AttributeType)random.Pick([1, 2, 3, 6, 7]),
                I = random.Number(),
                F = random.Pick([float.NaN, float.PositiveInfinity, 0, -1, 1e30f]),
                Ints = { random.Number() },
            });
            return;
        }

        AttributeProto attribute = random.Pick(node.Attribute);
        switch (random.Next(6))
        {
            case 0:
                node.Attribute.Remove(attribute);
                break;
            case 1:
                attribute.Name = random.Pick(s_attributes);
                break;
            case 2:
                attribute.Type = (AttributeProto.Types.AttributeType)random.Next(15);
                break;
            case 3:
                attribute.F = random.Pick([float.NaN, float.PositiveInfinity, float.NegativeInfinity, 0, -1, 1e30f, 1e-45f]);
                break;
            case 4 when attribute.Ints.Count > 0:
                attribute.Ints[random.Next(attribute.Ints.Count)] = random.Number();
                break;
            default:
                attribute.I = random.Number();
                break;
        }
    }

    /// <summary>Changes a number of a constant that lies in the graph.</summary>
    private static void ChangeConstant(GraphProto graph, HostileRandom random)
    {
        TensorProto[] constants = [.. graph.Initializer.Where(tensor => tensor.DataLocation != TensorProto.Types.DataLocation.External)];
        if (constants.Length == 0)
            return;
        TensorProto constant = random.Pick(constants);
        byte[] bytes = constant.RawData.ToByteArray();
        if (bytes.Length >= sizeof(long) && random.Chance(70))
            BitConverter.TryWriteBytes(bytes.AsSpan(sizeof(long) * random.Next(bytes.Length / sizeof(long))), random.Number());
        else
            bytes = ByteMutator.Mutate(bytes, random);
        constant.RawData = ByteString.CopyFrom(bytes);
        if (constant.Int64Data.Count > 0)
            constant.Int64Data[random.Next(constant.Int64Data.Count)] = random.Number();
    }

    private static void ChangeTensor(TensorProto tensor, HostileRandom random)
    {
        switch (random.Next(4))
        {
            case 0 when tensor.Dims.Count > 0:
                tensor.Dims[random.Next(tensor.Dims.Count)] = random.Number();
                break;
            case 1:
                tensor.Dims.Add(random.Number());
                break;
            case 2:
                tensor.DataType = random.Next(26);
                break;
            default:
                tensor.Name = random.Pick(["nowhere", "", tensor.Name + "x"]);
                break;
        }
    }

    private static void ChangeExternal(TensorProto tensor, HostileRandom random)
    {
        tensor.DataLocation = random.Chance(80) ? TensorProto.Types.DataLocation.External : TensorProto.Types.DataLocation.Default;
        string key = random.Pick(["location", "offset", "length", "checksum", "prepacked_data", "Location", ""]);
        string value = random.Pick(
        [
            "../weights.bin", "/etc/passwd", "model.json", "*/_ORT_MEM_ADDR_/*", "/dev/zero", "0", "4", "-4", "18446744073709551615",
            random.Number().ToString(CultureInfo.InvariantCulture),
        ]);
        StringStringEntryProto? entry = tensor.ExternalData.FirstOrDefault(entry => entry.Key == key);
        if (entry is null || random.Chance(20))
            tensor.ExternalData.Add(entry = new StringStringEntryProto { Key = key });
        entry.Value = value;
    }

    /// <summary>A node that makes much of little, on the way of a value.</summary>
    private static void Grow(GraphProto graph, HostileRandom random)
    {
        string name = $"grown{random.Next(1000)}";
        long size = random.Pick([1 << 16, 1 << 28, 1L << 31, 1L << 32, 1L << 40, long.MaxValue]);
        string kind = random.Pick(["ConstantOfShape", "Tile", "Expand", "Range", "Pad", "Resize", "RandomNormal"]);
        graph.Initializer.Add(Numbers(name + "_size", size));
        graph.Initializer.Add(Numbers(name + "_one", 1));
        var node = new NodeProto { Name = name, OpType = kind, Output = { name } };
        string[] inputs = kind switch
        {
            "ConstantOfShape" => [name + "_size"],
            "Range" => [name + "_one", name + "_size", name + "_one"],
            "RandomNormal" => [],
            _ => [Names(graph, random), name + "_size"],
        };
        node.Input.AddRange(inputs);
        if (kind == "RandomNormal")
            node.Attribute.Add(new AttributeProto { Name = "shape", Type = AttributeProto.Types.AttributeType.Ints, Ints = { size } });
        Insert(graph, node, random);
    }

    /// <summary>A value put to itself, over and over: without one large number it grows beyond any bound.</summary>
    private static void Double(GraphProto graph, HostileRandom random)
    {
        string from = random.Pick(graph.Input).Name;
        int at = random.Next(graph.Node.Count);
        for (int count = random.Pick([4, 20, 40]); count > 0; count--)
        {
            string name = $"doubled{random.Next(int.MaxValue)}";
            var node = new NodeProto { Name = name, OpType = "Concat", Input = { from, from }, Output = { name } };
            node.Attribute.Add(new AttributeProto { Name = "axis", Type = AttributeProto.Types.AttributeType.Int, I = 0 });
            graph.Node.Insert(at++, node);
            from = name;
        }

        Set(graph.Node[Math.Min(at, graph.Node.Count - 1)].Input, random, from);
    }

    /// <summary>A loop around nothing that hardly ends.</summary>
    private static void InsertLoop(GraphProto graph, HostileRandom random)
    {
        string name = $"loop{random.Next(1000)}";
        var body = new GraphProto { Name = "body" };
        body.Input.Add(Value("iteration", TensorProto.Types.DataType.Int64));
        // Of ONNX's types, 9 is bool.
        body.Input.Add(Value("condition", (TensorProto.Types.DataType)9));
        body.Input.Add(Value("state", TensorProto.Types.DataType.Float));
        body.Node.Add(new NodeProto { OpType = "Identity", Input = { "condition" }, Output = { "condition_out" } });
        body.Node.Add(new NodeProto { OpType = "Identity", Input = { "state" }, Output = { "state_out" } });
        body.Output.Add(Value("condition_out", (TensorProto.Types.DataType)9));
        body.Output.Add(Value("state_out", TensorProto.Types.DataType.Float));
        // A graph as an attribute is field 6 and type 5, which the library's schema does not have.
        var graphs = new MemoryStream();
        new AttributeProto { Name = "body", Type = (AttributeProto.Types.AttributeType)5 }.WriteTo(graphs);
        using (var writer = new CodedOutputStream(graphs, leaveOpen: true))
        {
            writer.WriteTag(6, WireFormat.WireType.LengthDelimited);
            writer.WriteBytes(body.ToByteString());
        }

        graph.Initializer.Add(new TensorProto
        {
            Name = name + "_count",
            DataType = (int)TensorProto.Types.DataType.Int64,
            RawData = ByteString.CopyFrom(BitConverter.GetBytes(random.Pick([3, 1L << 40, long.MaxValue]))),
        });
        string state = random.Pick(graph.Input).Name;
        var node = new NodeProto { Name = name, OpType = "Loop", Input = { name + "_count", "", state }, Output = { name } };
        node.Attribute.Add(AttributeProto.Parser.ParseFrom(graphs.ToArray()));
        Insert(graph, node, random);

        static ValueInfoProto Value(string name, TensorProto.Types.DataType type) =>
            new() { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type } } };
    }

    /// <summary>Puts a node among the others, and its result where another takes it: without anybody who needs it, it would be optimised away.</summary>
    private static void Insert(GraphProto graph, NodeProto node, HostileRandom random)
    {
        int at = random.Next(graph.Node.Count);
        graph.Node.Insert(at, node);
        Set(graph.Node[Math.Min(at + 1, graph.Node.Count - 1)].Input, random, node.Output[0]);
    }

    private static TensorProto Numbers(string name, params long[] values)
    {
        byte[] bytes = new byte[values.Length * sizeof(long)];
        Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length);
        return new TensorProto
        {
            Name = name, DataType = (int)TensorProto.Types.DataType.Int64, Dims = { values.Length }, RawData = ByteString.CopyFrom(bytes),
        };
    }

    /// <summary>Any operator between a value and who takes it.</summary>
    private static void InsertNode(GraphProto graph, HostileRandom random)
    {
        bool isContributed = random.Chance(30);
        string name = $"inserted{random.Next(1000)}";
        string kind = random.Pick(isContributed ? s_contributedOperators : s_operators);
        var node = new NodeProto { Name = name, OpType = kind, Domain = isContributed ? Contributed : "", Output = { name } };
        for (int count = random.Next(5); count > 0; count--)
            node.Input.Add(Names(graph, random));
        if (random.Chance(60))
            ChangeAttribute(node, random);
        Insert(graph, node, random);
    }
}
