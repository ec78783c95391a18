using System.Globalization;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Onnx;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>
/// Reads a graph of a bundle and checks it: its inputs and outputs against the contract, its weights against the manifest, and then all of it against what this
/// library writes for the bundle's configuration. Any other graph, of whatever operators, could ask for any memory, time or file.
/// </summary>
internal static class BundleGraph
{
    private const int LargestBytes = 64 << 20;
    private const int LargestConstantBytes = 1 << 16;

    // What the messages here do not know, such as graphs inside of attributes, is dropped, so that nothing unchecked reaches ONNX Runtime.
    private static readonly MessageParser<ModelProto> s_parser = ModelProto.Parser.WithDiscardUnknownFields(true);

    public static ModelProto ReadEncoder(ModelBundle bundle) => Read(
        bundle, bundle.Manifest.Graphs.Encoder,
        [new(GraphContract.InputIds, DataType.Int64, null, null), new(GraphContract.AttentionMask, DataType.Int64, null, null)],
        [new(GraphContract.EncoderOutput, DataType.Float, null, null, bundle.Configuration.ModelDimension)],
        graphs => graphs.Encoder());

    public static ModelProto ReadDecoderBlock(ModelBundle bundle, int layer)
    {
        int width = bundle.Configuration.ModelDimension;
        int heads = bundle.Configuration.HeadCount;
        int?[] cache = [null, heads, null, bundle.Manifest.GraphHeadDimension];
        return Read(
            bundle, bundle.Manifest.Graphs.DecoderBlocks[layer],
            [
                new(GraphContract.Hidden, DataType.Float, null, null, width),
                new(GraphContract.RowSlots, DataType.Int64, (int?)null), new(GraphContract.SlotRows, DataType.Int64, (int?)null),
                new(GraphContract.SelfLengths, DataType.Int32, (int?)null), new(GraphContract.SelfCapacity, DataType.Int32),
                new(GraphContract.SelfBias, DataType.Float, null, heads, null, null),
                new(GraphContract.CrossLengths, DataType.Int32, (int?)null), new(GraphContract.CrossCapacity, DataType.Int32),
                new(GraphContract.CrossBias, DataType.Float, null, 1, null, null),
                .. GraphContract.Caches.Select(names => new Expected(names.Past, DataType.Float, cache)),
            ],
            [
                new(GraphContract.HiddenOut, DataType.Float, null, null, width),
                .. GraphContract.Caches.Select(names => new Expected(names.Present, DataType.Float, cache)),
            ],
            graphs => graphs.DecoderBlock(layer));
    }

    public static ModelProto ReadStateKeysValues(ModelBundle bundle, int layer) =>
        ReadKeysValues(bundle, bundle.Manifest.Graphs.StateKeysValues[layer], graphs => graphs.StateKeysValues(layer));

    public static ModelProto ReadCrossKeysValues(ModelBundle bundle, int layer) =>
        ReadKeysValues(bundle, bundle.Manifest.Graphs.CrossKeysValues[layer], graphs => graphs.CrossKeysValues(layer));

    public static ModelProto ReadTeacherForcedDecoder(ModelBundle bundle)
    {
        int width = bundle.Configuration.ModelDimension;
        return Read(
            bundle, bundle.Manifest.Graphs.TeacherForcedDecoder,
            [
                new(GraphContract.DecoderInputIds, DataType.Int64, null, null),
                new(GraphContract.EncoderOutput, DataType.Float, null, null, width),
                new(GraphContract.EncoderAttentionMask, DataType.Int64, null, null),
            ],
            [
                .. Enumerable.Range(0, bundle.Configuration.DecoderLayerCount + 1)
                    .Select(layer => new Expected(GraphContract.HiddenStates(layer), DataType.Float, null, null, width)),
            ],
            graphs => graphs.TeacherForcedDecoder());
    }

    private static ModelProto ReadKeysValues(ModelBundle bundle, string file, Func<T5GraphBuilder, ModelProto> build) => Read(
        bundle, file,
        [new(GraphContract.Hidden, DataType.Float, null, bundle.Configuration.ModelDimension)],
        [new(GraphContract.KeysValues, DataType.Float, null, 2 * bundle.Configuration.HeadCount * bundle.Manifest.GraphHeadDimension)],
        build);

    private static ModelProto Read(
        ModelBundle bundle, string file, IReadOnlyList<Expected> inputs, IReadOnlyList<Expected> outputs, Func<T5GraphBuilder, ModelProto> build)
    {
        string path = bundle.NameOf(file);
        ModelProto model;
        try
        {
            model = s_parser.ParseFrom(bundle.ReadFile(file, LargestBytes));
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new InvalidModelException($"'{path}' is not an ONNX model: {exception.Message} Convert the checkpoint again.", exception);
        }

        if (model.Graph is null)
            throw Invalid(path, "it has no graph");
        CheckVersions(path, model);
        CheckValues(path, "input", model.Graph.Input, inputs);
        CheckValues(path, "output", model.Graph.Output, outputs);
        foreach (TensorProto initializer in model.Graph.Initializer)
            CheckInitializer(bundle, path, initializer);
        CheckGraph(path, model.Graph, Build(bundle, path, build).Graph);
        return model;
    }

    private static ModelProto Build(ModelBundle bundle, string path, Func<T5GraphBuilder, ModelProto> build)
    {
        try
        {
            return build(new T5GraphBuilder(
                bundle.Configuration, bundle.Manifest.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal), bundle.Manifest.WeightsFile));
        }
        catch (KeyNotFoundException)
        {
            throw Invalid(path, "the manifest lacks a tensor that the graph needs");
        }
    }

    /// <summary>Refuses a graph that differs from the one that the configuration asks for.</summary>
    private static void CheckGraph(string path, GraphProto graph, GraphProto expected)
    {
        if (graph.Equals(expected))
            return;
        foreach ((NodeProto node, NodeProto wanted) in graph.Node.Zip(expected.Node))
        {
            if (!node.Equals(wanted))
            {
                throw Invalid(
                    path,
                    $"where the node '{wanted.Name}' ({wanted.OpType}) belongs it has another one, '{node.Name}' ({node.OpType}), "
                    + "or one with other inputs or attributes");
            }
        }

        if (graph.Node.Count != expected.Node.Count)
            throw Invalid(path, $"it has {graph.Node.Count} nodes, not {expected.Node.Count}");
        foreach ((TensorProto tensor, TensorProto wanted) in graph.Initializer.Zip(expected.Initializer))
        {
            if (!tensor.Equals(wanted))
                throw Invalid(path, $"constant '{tensor.Name}' is not '{wanted.Name}' with the value that the configuration gives it");
        }

        throw Invalid(path, "it has other constants, or values of other names, than the configuration gives it");
    }

    /// <summary>Blocks are composed into one graph, which has one version of each kind of operator.</summary>
    private static void CheckVersions(string path, ModelProto model)
    {
        if (model.IrVersion != GraphContract.IrVersion)
            throw Invalid(path, $"its IR version is {model.IrVersion}, not {GraphContract.IrVersion}");
        foreach (OperatorSetIdProto opset in model.OpsetImport)
        {
            if ((opset.Domain, opset.Version) is not (("", GraphContract.OpsetVersion) or (GraphContract.ContribDomain, GraphContract.ContribVersion)))
                throw Invalid(path, $"it asks for version {opset.Version} of the operators '{opset.Domain}'");
        }

        if (!model.OpsetImport.Any(opset => opset.Domain.Length == 0))
            throw Invalid(path, "it does not say which version its operators have");
    }

    private static void CheckValues(string path, string kind, IReadOnlyCollection<ValueInfoProto> found, IReadOnlyList<Expected> expected)
    {
        foreach (Expected value in expected)
        {
            if (found.FirstOrDefault(candidate => candidate.Name == value.Name) is not { } candidate)
                throw Invalid(path, $"{kind} '{value.Name}' is missing");
            if (candidate.Type?.TensorType is not { } tensor || tensor.ElemType != (int)value.Type || !value.HasShape(tensor.Shape))
                throw Invalid(path, $"{kind} '{value.Name}' is not a tensor of type {value.Type} and shape {value.ShownShape}");
        }

        if (found.Count != expected.Count)
            throw Invalid(path, $"it has {found.Count} {kind}s, not the {expected.Count} of the contract");
    }

    private static void CheckInitializer(ModelBundle bundle, string path, TensorProto initializer)
    {
        if (initializer.DataLocation != TensorProto.Types.DataLocation.External)
        {
            if (initializer.CalculateSize() > LargestConstantBytes)
                throw Invalid(path, $"constant '{initializer.Name}' is larger than any constant of a bundle's graph");
            return;
        }

        if (!bundle.TryGetTensor(initializer.Name, out BundleTensor tensor))
            throw Invalid(path, $"tensor '{initializer.Name}' is not in the manifest");
        CheckShape(bundle, path, tensor);
        if (initializer.DataType != (int)WeightFormat.Of(tensor.Type).OnnxType
            || !initializer.Dims.SequenceEqual(tensor.Shape.Select(dimension => (long)dimension)))
            throw Invalid(path, $"tensor '{initializer.Name}' has another type or shape than in the manifest");
        if (initializer.ExternalData.Count != 3
            || External("location") != bundle.Manifest.WeightsFile
            || External("offset") != tensor.Offset.ToString(CultureInfo.InvariantCulture)
            || External("length") != tensor.ByteCount.ToString(CultureInfo.InvariantCulture))
            throw Invalid(path, $"tensor '{initializer.Name}' does not lie where the manifest says");

        string? External(string key) => initializer.ExternalData.FirstOrDefault(entry => entry.Key == key)?.Value;
    }

    /// <summary>Refuses a tensor of another shape than the configuration gives it: what it computes would have any size.</summary>
    private static void CheckShape(ModelBundle bundle, string path, BundleTensor tensor)
    {
        T5Configuration sizes = bundle.Configuration;
        int width = sizes.ModelDimension;
        int inner = sizes.HeadCount * bundle.Manifest.GraphHeadDimension;

        // A table of biases has a row for every distance up to the one from which on all are equal.
        int?[] shape = tensor.Name.Split('.')[^1] switch
        {
            // Opening the bundle compared it with the shape of what it scales.
            "scales" => [null, null],
            "norm" or "final_norm" => [width],
            "q" => [width, inner],
            "kv" => [width, 2 * inner],
            "o" => [inner, width],
            "wi" or "wi_0" or "wi_1" => [width, sizes.FeedForwardDimension],
            "wo" => [sizes.FeedForwardDimension, width],
            "relative_bias" => [null, sizes.HeadCount],
            _ => [sizes.VocabularySize, width],
        };
        if (WeightFormat.Of(tensor.Type).HasScales)
            Array.Reverse(shape);
        if (shape.Length != tensor.Shape.Count || shape.Zip(tensor.Shape).Any(pair => pair.First is { } size && size != pair.Second))
        {
            throw Invalid(
                path,
                $"tensor '{tensor.Name}' has shape [{string.Join(", ", tensor.Shape)}], "
                + $"not [{string.Join(", ", shape.Select(size => size?.ToString(CultureInfo.InvariantCulture) ?? "any"))}]");
        }
    }

    private static InvalidModelException Invalid(string path, string what) =>
        new($"The graph '{path}' does not fit its bundle: {what}. Convert the checkpoint again.");

    /// <summary>An input or output of the contract; dimensions that vary from run to run are null.</summary>
    private sealed record Expected(string Name, DataType Type, params int?[] Shape)
    {
        public string ShownShape => $"[{string.Join(", ", Shape.Select(size => size?.ToString(CultureInfo.InvariantCulture) ?? "any"))}]";

        public bool HasShape(TensorShapeProto? shape) =>
            shape is not null && shape.Dim.Count == Shape.Length
            && shape.Dim.Zip(Shape, (dimension, size) => size is null
                ? dimension.ValueCase != TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue
                : dimension.ValueCase == TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue && dimension.DimValue == size).All(fits => fits);
    }
}
