using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Conversion.Graphs;

/// <summary>An ONNX model with its weights inside. They are copied from the bundle to the file as they lie, so that none is held in memory.</summary>
internal sealed unsafe class SelfContainedModel
{
    // ONNX's field numbers: of the graph in a model, of a tensor in a graph, of the data in a tensor.
    private const int GraphField = 7;
    private const int InitializerField = 5;
    private const int RawDataField = 9;

    private readonly ModelBundle _bundle;
    private readonly ModelProto _model;
    private readonly GraphProto _graph;
    private readonly List<(TensorProto Header, BundleTensor Tensor)> _weights = [];

    /// <param name="bundle">Has the weights.</param>
    /// <param name="model">The model, whose weights are references; it becomes this object's.</param>
    public SelfContainedModel(ModelBundle bundle, ModelProto model)
    {
        _bundle = bundle;
        _model = model;
        _graph = model.Graph;
        _model.Graph = null;
        foreach (TensorProto initializer in
            _graph.Initializer.Where(initializer => initializer.DataLocation == TensorProto.Types.DataLocation.External).ToList())
        {
            _graph.Initializer.Remove(initializer);
            initializer.ExternalData.Clear();
            initializer.ClearDataLocation();
            bundle.TryGetTensor(initializer.Name, out BundleTensor tensor);
            _weights.Add((initializer, tensor));
        }
    }

    /// <summary>The size of the file.</summary>
    public long Bytes => _model.CalculateSize() + FieldBytes(GraphBytes);

    private long GraphBytes => _graph.CalculateSize() + _weights.Sum(weight => FieldBytes(TensorBytes(weight)));

    /// <summary>Writes the model, which must be smaller than 2 GB, as every message of protobuf.</summary>
    public void Write(Stream stream)
    {
        using var output = new CodedOutputStream(stream, leaveOpen: true);
        _model.WriteTo(output);
        Begin(output, GraphField, GraphBytes);
        _graph.WriteTo(output);
        foreach ((TensorProto Header, BundleTensor Tensor) weight in _weights)
        {
            Begin(output, InitializerField, TensorBytes(weight));
            weight.Header.WriteTo(output);
            Begin(output, RawDataField, weight.Tensor.ByteCount);
            output.Flush();
            stream.Write(new ReadOnlySpan<byte>((void*)_bundle.Tensor(weight.Tensor).Address, (int)weight.Tensor.ByteCount));
        }
    }

    private static void Begin(CodedOutputStream output, int field, long bytes)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteLength((int)bytes);
    }

    private static long TensorBytes((TensorProto Header, BundleTensor Tensor) weight) => weight.Header.CalculateSize() + FieldBytes(weight.Tensor.ByteCount);

    /// <summary>A field with its tag, which is one byte for the fields here, and its length.</summary>
    private static long FieldBytes(long bytes) => 1 + CodedOutputStream.ComputeUInt64Size((ulong)bytes) + bytes;
}
