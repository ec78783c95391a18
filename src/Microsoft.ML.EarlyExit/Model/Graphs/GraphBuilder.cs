using System.Globalization;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Model.Graphs;

/// <summary>Puts one ONNX graph together; weights are references into the bundle's weights file.</summary>
internal sealed class GraphBuilder(string name, IReadOnlyDictionary<string, BundleTensor> weights, string weightsFile)
{
    private readonly GraphProto _graph = new() { Name = name };
    private readonly HashSet<string> _initializers = [];
    private readonly HashSet<string> _names = [];

    /// <summary>Declares an input; an int is a fixed dimension, a string a free one.</summary>
    public string Input(string input, TensorProto.Types.DataType type, params ReadOnlySpan<object> shape)
    {
        _graph.Input.Add(ValueInfo(input, type, shape));
        return input;
    }

    /// <summary>Declares <paramref name="value"/> as an output.</summary>
    public void Output(string value, params ReadOnlySpan<object> shape) => Output(value, TensorProto.Types.DataType.Float, shape);

    /// <summary>As the other, for values that are no floats.</summary>
    public void Output(string value, TensorProto.Types.DataType type, params ReadOnlySpan<object> shape) => _graph.Output.Add(ValueInfo(value, type, shape));

    /// <summary>A tensor of the weights file in single precision, whatever it is stored in.</summary>
    public string Weight(string weight)
    {
        WeightPrecision type = StoredWeight(weight);
        if (type == WeightPrecision.Float32)
            return weight;
        string widened = weight + GraphContract.WidenedSuffix;
        if (_names.Contains(widened))
            return widened;
        return WeightFormat.Of(type).HasScales ? Dequantize(widened, weight) : Widen(widened, weight, widened);
    }

    /// <summary>Adds nodes that take rows of a matrix of the weights file, in single precision whatever it is stored in.</summary>
    public string WeightRows(string node, string weight, string ids, string output)
    {
        if (StoredWeight(weight) == WeightPrecision.Float32)
            return Node(node, "Gather", [weight, ids], [output], "", Attribute("axis", 0L))[0];

        // Not the matrix, of which few rows are taken.
        return Widen(node, Node($"{node}.stored", "Gather", [weight, ids], Attribute("axis", 0L)), output);
    }

    private string Widen(string node, string stored, string output) =>
        Node(node, "Cast", [stored], [output], "", Attribute("to", (long)TensorProto.Types.DataType.Float))[0];

    /// <summary>Adds nodes that multiply the numbers of a matrix by their scales, and turn it: it is stored with a row for each output.</summary>
    private string Dequantize(string node, string weight)
    {
        string scales = T5TensorNames.Scales(weight);
        _ = StoredWeight(scales);
        long block = weights[weight].Shape[1] / weights[scales].Shape[1];
        string dequantized = Node(
            weight + GraphContract.DequantizedSuffix, "DequantizeLinear", [weight, scales], Attribute("axis", 1L), Attribute("block_size", block));
        return Node(node, "Transpose", [dequantized], Attribute("perm", 1L, 0L));
    }

    /// <summary>Declares a tensor of the weights file, and says how it is stored.</summary>
    private WeightPrecision StoredWeight(string weight)
    {
        BundleTensor tensor = weights[weight];
        if (_initializers.Add(weight))
        {
            var proto = new TensorProto
            {
                Name = weight,
                DataType = (int)WeightFormat.Of(tensor.Type).OnnxType,
                DataLocation = TensorProto.Types.DataLocation.External,
            };
            foreach (int dimension in tensor.Shape)
                proto.Dims.Add(dimension);
            proto.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = weightsFile });
            proto.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = tensor.Offset.ToString(CultureInfo.InvariantCulture) });
            proto.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = tensor.ByteCount.ToString(CultureInfo.InvariantCulture) });
            _graph.Initializer.Add(proto);
        }

        return tensor.Type;
    }

    /// <summary>A small constant vector, or a scalar.</summary>
    public string Constant(string constant, ReadOnlySpan<long> values, bool scalar = false)
    {
        if (_initializers.Add(constant))
        {
            var proto = new TensorProto
            {
                Name = constant,
                DataType = (int)TensorProto.Types.DataType.Int64,
                RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(values)),
            };
            if (!scalar)
                proto.Dims.Add(values.Length);
            _graph.Initializer.Add(proto);
        }

        return constant;
    }

    /// <summary>A constant scalar.</summary>
    public string Constant(string constant, float value)
    {
        if (_initializers.Add(constant))
        {
            _graph.Initializer.Add(new TensorProto
            {
                Name = constant,
                DataType = (int)TensorProto.Types.DataType.Float,
                RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<float>([value])),
            });
        }

        return constant;
    }

    /// <summary>Adds a node of one output, which bears the node's name.</summary>
    public string Node(string node, string operation, ReadOnlySpan<string> inputs, params ReadOnlySpan<AttributeProto> attributes) =>
        Node(node, operation, inputs, [node], "", attributes)[0];

    /// <summary>Adds a node.</summary>
    public string[] Node(
        string node, string operation, ReadOnlySpan<string> inputs, string[] outputs, string domain, params ReadOnlySpan<AttributeProto> attributes)
    {
        if (!_names.Add(node))
            throw new InvalidOperationException($"Graph '{_graph.Name}' has two nodes named '{node}'.");
        var proto = new NodeProto { Name = node, OpType = operation };
        if (domain.Length > 0)
            proto.Domain = domain;
        foreach (string input in inputs)
            proto.Input.Add(input);
        proto.Output.AddRange(outputs);
        foreach (AttributeProto attribute in attributes)
            proto.Attribute.Add(attribute);
        _graph.Node.Add(proto);
        return outputs;
    }

    /// <summary>The finished model.</summary>
    public ModelProto Build()
    {
        var model = new ModelProto { IrVersion = GraphContract.IrVersion, ProducerName = "Microsoft.ML.EarlyExit", Graph = _graph };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = GraphContract.OpsetVersion });
        if (_graph.Node.Any(node => node.Domain == GraphContract.ContribDomain))
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = GraphContract.ContribDomain, Version = GraphContract.ContribVersion });
        return model;
    }

    public static AttributeProto Attribute(string attribute, long value) =>
        new() { Name = attribute, Type = AttributeProto.Types.AttributeType.Int, I = value };

    public static AttributeProto Attribute(string attribute, float value) =>
        new() { Name = attribute, Type = AttributeProto.Types.AttributeType.Float, F = value };

    public static AttributeProto Attribute(string attribute, params ReadOnlySpan<long> values)
    {
        var proto = new AttributeProto { Name = attribute, Type = AttributeProto.Types.AttributeType.Ints };
        foreach (long value in values)
            proto.Ints.Add(value);
        return proto;
    }

    public static AttributeProto Attribute(string attribute, string value) =>
        new() { Name = attribute, Type = AttributeProto.Types.AttributeType.String, S = ByteString.CopyFromUtf8(value) };

    /// <summary>An input or output; an int is a fixed dimension, a string a free one.</summary>
    public static ValueInfoProto ValueInfo(string value, TensorProto.Types.DataType type, params ReadOnlySpan<object> shape)
    {
        var dimensions = new TensorShapeProto();
        foreach (object dimension in shape)
        {
            dimensions.Dim.Add(dimension is int size
                ? new TensorShapeProto.Types.Dimension { DimValue = size }
                : new TensorShapeProto.Types.Dimension { DimParam = (string)dimension });
        }

        return new ValueInfoProto
        {
            Name = value,
            Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = dimensions } },
        };
    }
}
