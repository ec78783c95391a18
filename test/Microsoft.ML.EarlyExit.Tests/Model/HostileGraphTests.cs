using System.Text;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Graphs that were changed together with the manifest's hashes: what the contract forbids, and what ONNX Runtime refuses or stumbles over.</summary>
public sealed class HostileGraphTests
{
    private const string Block = "decoder-block-02.onnx";
    private const string FirstNode = "decoder.1.self.norm/rms";

    /// <summary>Changes of a decoder block that the contract forbids, and what the message says.</summary>
    private static readonly Dictionary<string, (Action<GraphProto> Apply, string Message)> s_breaches = new()
    {
        ["input renamed"] = (graph => Input(graph, "hidden").Name = "hiden", "input 'hidden' is missing"),
        ["input missing"] = (graph => graph.Input.Remove(Input(graph, "self_bias")), "input 'self_bias' is missing"),
        ["input twice"] = (graph => graph.Input.Add(Input(graph, "hidden").Clone()), "14 inputs"),
        ["input more"] = (graph => graph.Input.Add(new ValueInfoProto { Name = "more", Type = Input(graph, "hidden").Type.Clone() }), "14 inputs"),
        ["input of another type"] = (graph => Input(graph, "row_slots").Type.TensorType.ElemType = (int)DataType.Int32, "input 'row_slots'"),
        ["input of no type"] = (graph => Input(graph, "row_slots").Type = null, "input 'row_slots'"),
        ["input no tensor"] = (graph => Input(graph, "row_slots").Type = new TypeProto(), "input 'row_slots'"),
        ["input of no shape"] = (graph => Input(graph, "self_keys").Type.TensorType.Shape = null, "input 'self_keys'"),
        ["input of another rank"] = (graph => Dimensions(graph, "self_keys").Dim.RemoveAt(0), "input 'self_keys'"),
        ["input of another width"] = (graph => Dimensions(graph, "hidden").Dim[2].DimValue = 49, "input 'hidden'"),
        ["input of negative width"] = (graph => Dimensions(graph, "hidden").Dim[2].DimValue = -1, "input 'hidden'"),
        ["input of any width"] = (graph => Dimensions(graph, "hidden").Dim[2].DimParam = "d", "input 'hidden'"),
        ["other heads"] = (graph => Dimensions(graph, "cross_values").Dim[1].DimValue = 4, "input 'cross_values'"),
        ["other head width"] = (graph => Dimensions(graph, "cross_values").Dim[3].DimValue = 8, "input 'cross_values'"),
        ["rows fixed"] = (graph => Dimensions(graph, "hidden").Dim[0].DimValue = 1, "input 'hidden'"),
        ["output renamed"] = (graph => graph.Output[0].Name = "out", "output 'hidden_out' is missing"),
        ["output missing"] = (graph => graph.Output.RemoveAt(4), "output 'present_cross_values' is missing"),
        ["output more"] = (graph => graph.Output.Add(new ValueInfoProto { Name = "more", Type = graph.Output[0].Type.Clone() }), "6 outputs"),
        ["output of another width"] = (graph => graph.Output[0].Type.TensorType.Shape.Dim[2].DimValue = 96, "output 'hidden_out'"),
        ["other offset"] = (graph => External(graph, "offset").Value = "0", "'decoder.1.ff.norm'"),
        ["offset negative"] = (graph => External(graph, "offset").Value = "-64", "'decoder.1.ff.norm'"),
        ["other length"] = (graph => External(graph, "length").Value = "188", "'decoder.1.ff.norm'"),
        ["no length"] = (graph => Weight(graph).ExternalData.Remove(External(graph, "length")), "'decoder.1.ff.norm'"),
        ["length absurd"] = (graph => External(graph, "length").Value = "9223372036854775807", "'decoder.1.ff.norm'"),
        ["other file of the bundle"] = (graph => External(graph, "location").Value = "encoder.onnx", "'decoder.1.ff.norm'"),
        ["file outside"] = (graph => External(graph, "location").Value = "../../etc/passwd", "'decoder.1.ff.norm'"),
        ["absolute file"] = (graph => External(graph, "location").Value = "/etc/passwd", "'decoder.1.ff.norm'"),
        ["no file"] = (graph => Weight(graph).ExternalData.Clear(), "'decoder.1.ff.norm'"),
        // ONNX Runtime takes the last.
        ["two files"] = (
            graph => Weight(graph).ExternalData.Add(new StringStringEntryProto { Key = "location", Value = "../../etc/passwd" }), "'decoder.1.ff.norm'"),
        ["other dimensions"] = (graph => Weight(graph).Dims[0] = 24, "'decoder.1.ff.norm'"),
        ["more dimensions"] = (graph => Weight(graph).Dims.Insert(0, 1), "'decoder.1.ff.norm'"),
        ["other element"] = (graph => Weight(graph).DataType = (int)DataType.Int32, "'decoder.1.ff.norm'"),
        ["not in the manifest"] = (graph => Weight(graph).Name = "decoder.9.ff.norm", "'decoder.9.ff.norm'"),
        ["large constant"] = (
            graph => graph.Initializer.Add(
                new TensorProto { Name = "big", DataType = (int)DataType.Float, Dims = { 20_000 }, RawData = ByteString.CopyFrom(new byte[80_000]) }),
            "'big'"),
    };

    /// <summary>Graphs that ONNX Runtime takes, and that could ask it for any memory or time, by the node or constant that differs first.</summary>
    private static readonly Dictionary<string, (Action<GraphProto> Apply, string Message)> s_strangers = new()
    {
        // 16 bytes that ask for 2^32 elements.
        ["a huge tensor of a small constant"] = (
            graph =>
            {
                graph.Initializer.Add(Numbers("sizes", 1L << 16, 1L << 16));
                graph.Node.Insert(0, new NodeProto { Name = "fill", OpType = "ConstantOfShape", Input = { "sizes" }, Output = { "filled" } });
            },
            "'fill' (ConstantOfShape)"),
        ["a huge range"] = (
            graph =>
            {
                graph.Initializer.Add(Number("from", 0));
                graph.Initializer.Add(Number("to", 1L << 40));
                graph.Initializer.Add(Number("by", 1));
                graph.Node.Add(new NodeProto { Name = "count", OpType = "Range", Input = { "from", "to", "by" }, Output = { "counted" } });
            },
            "nodes, not"),
        ["every row as often as there are rows"] = (
            graph => graph.Node.Insert(1, new NodeProto { Name = "more", OpType = "Concat", Input = { "hidden", "hidden" }, Output = { "doubled" } }),
            "'more' (Concat)"),
        ["an attribute more"] = (graph => graph.Node[0].Attribute.Add(Integer("stash_type", 1)), $"'{FirstNode}'"),
        ["an attribute of another kind"] = (graph => graph.Node[0].Attribute[0].Type = AttributeProto.Types.AttributeType.Float, $"'{FirstNode}'"),
        ["another epsilon"] = (graph => graph.Node[0].Attribute.Single(attribute => attribute.Name == "epsilon").F = 1e30f, $"'{FirstNode}'"),
        ["the operator of another domain"] = (graph => graph.Node[0].Domain = "com.microsoft", $"'{FirstNode}'"),
        ["an input that is optional"] = (
            graph => graph.Node.First(node => node.OpType == "GroupQueryAttention").Input[7] = "cross_bias", "GroupQueryAttention"),
        ["another tensor of the shape"] = (graph => graph.Node[0].Input[1] = "decoder.1.ff.norm", $"'{FirstNode}'"),
        ["a constant that no node reads"] = (graph => graph.Initializer.Add(Number("more", 1)), "other constants"),
        ["a documentation"] = (graph => graph.DocString = "text", "other constants"),
    };

    /// <summary>Changes that ONNX Runtime would find.</summary>
    private static readonly Dictionary<string, Action<ModelProto>> s_refusals = new()
    {
        ["unknown operator"] = model => model.Graph.Node[0].OpType = "Nonsense",
        ["unknown domain"] = model => model.Graph.Node[0].Domain = "somewhere",
        ["undefined value"] = model => model.Graph.Node[1].Input[0] = "nowhere",
        ["a loop"] = model => model.Graph.Node[0].Input[0] = model.Graph.Node[^1].Output[0],
        ["value twice"] = model => model.Graph.Node[1].Output[0] = model.Graph.Node[0].Output[0],
        ["no nodes"] = model => model.Graph.Node.Clear(),
        ["node without operator"] = model => model.Graph.Node[0].ClearOpType(),
        ["no operator sets"] = model => model.OpsetImport.Clear(),
        ["operator set of the future"] = model => model.OpsetImport[0].Version = 9999,
        ["operators of the library's own"] = model =>
        {
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = "microsoft.ml.earlyexit", Version = 1 });
            model.Graph.Node.Add(
                new NodeProto { Name = "loop", OpType = "ParallelLoop", Domain = "microsoft.ml.earlyexit", Input = { "row_slots" }, Output = { "done" } });
        },
        ["IR of the future"] = model => model.IrVersion = 9999,
        ["no heads"] = model => Attention(model).Attribute.Remove(Attention(model).Attribute.Single(attribute => attribute.Name == "num_heads")),
        ["weights missing"] = model => model.Graph.Initializer.Clear(),
        ["product of other shapes"] = model => model.Graph.Node.First(node => node.OpType == "MatMul").Input[1] = "decoder.1.self.norm",
        // A tensor inside of an attribute, its field 5, which the contract's checks do not see.
        ["file hidden in an attribute"] = model =>
        {
            var tensor = new TensorProto
            {
                Name = "t",
                DataType = (int)DataType.Float,
                Dims = { 4 },
                DataLocation = TensorProto.Types.DataLocation.External,
                ExternalData = { new StringStringEntryProto { Key = "location", Value = "decoder-block-01.onnx" } },
            };
            byte[] content = tensor.ToByteArray();
            AttributeProto attribute = AttributeProto.Parser.ParseFrom(
                [
                    .. new AttributeProto { Name = "value", Type = (AttributeProto.Types.AttributeType)4 }.ToByteArray(),
                    5 << 3 | 2, (byte)content.Length, .. content,
                ]);
            model.Graph.Node.Insert(0, new NodeProto { Name = "hidden", OpType = "Constant", Output = { "constant" }, Attribute = { attribute } });
        },
    };

    public static TheoryData<string> Breaches => [.. s_breaches.Keys];

    public static TheoryData<string> Strangers => [.. s_strangers.Keys];

    public static TheoryData<string> Refusals => [.. s_refusals.Keys];

    [Fact]
    public void A_sound_bundle_generates()
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph(Block, _ => { });
        Assert.Equal(4, Generate(tampered).TokenIds.Count);
    }

    [Theory]
    [MemberData(nameof(Breaches))]
    public void A_block_outside_of_the_contract_is_refused(string name)
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph(Block, model => s_breaches[name].Apply(model.Graph));
        string message = Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message;
        Assert.Contains(tampered.File(Block), message);
        Assert.Contains(s_breaches[name].Message, message);
    }

    [Theory]
    [MemberData(nameof(Strangers))]
    public void A_graph_that_this_library_does_not_write_is_refused(string name)
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph(Block, model => s_strangers[name].Apply(model.Graph));
        string message = Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message;
        Assert.Contains(tampered.File(Block), message);
        Assert.Contains(s_strangers[name].Message, message);
    }

    [Fact]
    public void A_tensor_of_a_shape_that_the_configuration_does_not_give_is_refused()
    {
        using var tampered = new TamperedBundle();
        tampered.EditManifest(root =>
        {
            System.Text.Json.Nodes.JsonNode tensor = root["tensors"]!.AsArray().Single(entry => (string)entry!["name"]! == "decoder.1.ff.wo")!;
            (tensor["shape"]![0], tensor["shape"]![1]) = (tensor["shape"]![1]!.DeepClone(), tensor["shape"]![0]!.DeepClone());
        });
        tampered.EditGraph(Block, model =>
        {
            TensorProto tensor = model.Graph.Initializer.Single(initializer => initializer.Name == "decoder.1.ff.wo");
            (tensor.Dims[0], tensor.Dims[1]) = (tensor.Dims[1], tensor.Dims[0]);
        });
        Assert.Contains("tensor 'decoder.1.ff.wo' has shape", Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message);
    }

    [Fact]
    public void A_graph_that_is_changed_after_the_model_was_loaded_is_refused()
    {
        using var tampered = new TamperedBundle();
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        byte[] bytes = File.ReadAllBytes(tampered.File(Block));
        bytes[^1] ^= 1;
        File.WriteAllBytes(tampered.File(Block), bytes);
        string message = Assert.Throws<InvalidModelException>(() => model.Generate([GenerationInput.FromTokenIds([9, 1])])).Message;
        Assert.Contains(tampered.File(Block), message);
        Assert.Contains("Load the model again", message);
    }

    [Theory]
    [MemberData(nameof(Refusals))]
    public void A_block_that_ONNX_Runtime_refuses_is_an_invalid_model(string name)
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph(Block, s_refusals[name]);
        Assert.Contains(tampered.Folder, Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message);
    }

    [Theory]
    [InlineData("encoder.onnx", "input_ids")]
    [InlineData("decoder-block-05.onnx", "hidden")]
    [InlineData("decoder-state-keys-values-04.onnx", "hidden")]
    [InlineData("decoder-cross-keys-values-01.onnx", "hidden")]
    public void Every_kind_of_graph_is_checked(string file, string input)
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph(file, model => model.Graph.Input.Single(value => value.Name == input).Name = "other");
        string message = Assert.Throws<InvalidModelException>(() => Generate(tampered, new ExitPolicy { Threshold = 0.2f })).Message;
        Assert.Contains(file, message);
        Assert.Contains($"'{input}'", message);
    }

    [Theory]
    [InlineData("encoder.onnx")]
    [InlineData(Block)]
    [InlineData("decoder-cross-keys-values-02.onnx")]
    public void A_graph_that_is_none_is_refused(string file)
    {
        foreach (byte[] bytes in (byte[][])[
            [0], [255, 255, 255, 255, 255, 255], Encoding.UTF8.GetBytes("<html>not found</html>"), [0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]])
        {
            using var tampered = new TamperedBundle();
            tampered.EditFile(file, _ => bytes);
            Assert.Contains(file, Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message);
        }
    }

    [Fact]
    public void A_huge_graph_is_refused_before_it_is_read()
    {
        using var tampered = new TamperedBundle();
        tampered.EditFile(Block, bytes => [.. bytes, .. new byte[65 << 20]]);
        Assert.Contains("larger than", Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message);
    }

    [Fact]
    public void A_constant_of_another_value_is_refused()
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph("encoder.onnx", model =>
            model.Graph.Initializer.Single(constant => constant.Name == "encoder_bias.centre").RawData =
                ByteString.CopyFrom(BitConverter.GetBytes(1_000_000_000L)));
        Assert.Contains("'encoder_bias.centre'", Assert.Throws<InvalidModelException>(() => Generate(tampered)).Message);
    }

    [Fact]
    public void Graphs_are_checked_when_first_needed_and_a_failure_does_not_spoil_the_rest()
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph("decoder-block-04.onnx", model => model.Graph.Node[0].OpType = "Nonsense");
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        GenerationInput[] rows = [GenerationInput.FromTokenIds([5, 6, 1])];
        var shallow = new TextGenerationOptions { MaxNewTokens = 3, Exit = new ExitPolicy { StaticExitLayer = 3 } };
        Assert.NotEmpty(model.Generate(rows, shallow)[0].TokenIds);
        for (int attempt = 0; attempt < 2; attempt++)
            Assert.Throws<InvalidModelException>(() => model.Generate(rows));
        Assert.NotEmpty(model.Generate(rows, shallow)[0].TokenIds);
    }

    [Fact]
    public void Text_of_a_vocabulary_that_is_larger_than_the_model_s_is_an_error_of_its_row()
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        IReadOnlyList<GenerationResult> results = model.Generate(
            [GenerationInput.FromText("extraordinary"), GenerationInput.FromTokenIds([5, 1])], new TextGenerationOptions { MaxNewTokens = 3, BatchSize = 2 });
        Assert.Equal(StopReason.Error, results[0].StopReason);
        Assert.Contains("outside the vocabulary", results[0].Error);
        Assert.NotEqual(StopReason.Error, results[1].StopReason);
    }

    private static GenerationResult Generate(TamperedBundle tampered, ExitPolicy? exit = null)
    {
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        return model.Generate(
            [GenerationInput.FromTokenIds([9, 12, 40, 1])],
            new TextGenerationOptions { MaxNewTokens = exit is null ? 4 : 40, MinNewTokens = exit is null ? 4 : 40, Exit = exit })[0];
    }

    private static ValueInfoProto Input(GraphProto graph, string name) => graph.Input.Single(input => input.Name == name);

    private static TensorShapeProto Dimensions(GraphProto graph, string name) => Input(graph, name).Type.TensorType.Shape;

    private static TensorProto Weight(GraphProto graph) => graph.Initializer.Single(tensor => tensor.Name == "decoder.1.ff.norm");

    private static StringStringEntryProto External(GraphProto graph, string key) => Weight(graph).ExternalData.Single(entry => entry.Key == key);

    private static TensorProto Number(string name, long value) => new()
    {
        Name = name, DataType = (int)DataType.Int64, RawData = ByteString.CopyFrom(BitConverter.GetBytes(value)),
    };

    private static TensorProto Numbers(string name, params long[] values) => new()
    {
        Name = name,
        DataType = (int)DataType.Int64,
        Dims = { values.Length },
        RawData = ByteString.CopyFrom([.. values.SelectMany(BitConverter.GetBytes)]),
    };

    private static AttributeProto Integer(string name, long value) => new() { Name = name, Type = AttributeProto.Types.AttributeType.Int, I = value };

    private static NodeProto Attention(ModelProto model) => model.Graph.Node.First(node => node.OpType == "GroupQueryAttention");
}
