using System.Globalization;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit;

/// <summary>Reads a graph of a bundle and checks it: its inputs and outputs against the contract, its weights against the manifest.</summary>
internal static class BundleGraph
{
    private const int LargestBytes = 64 << 20;
    private const int LargestConstantBytes = 1 << 16;

    // What the messages here do not know, such as graphs inside of attributes, is dropped, so that nothing unchecked reaches ONNX Runtime.
    private static readonly MessageParser<ModelProto> s_parser = ModelProto.Parser.WithDiscardUnknownFields(true);

    public static ModelProto ReadEncoder(ModelBundle bundle) => Read(
        bundle, bundle.Manifest.Graphs.Encoder,
        [new(GraphContract.InputIds, DataType.Int64, null, null), new(GraphContract.AttentionMask, DataType.Int64, null, null)],
        [new(GraphContract.EncoderOutput, DataType.Float, null, null, bundle.Configuration.ModelDimension)]);

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
            ]);
    }

    public static ModelProto ReadStateKeysValues(ModelBundle bundle, int layer) => ReadKeysValues(bundle, bundle.Manifest.Graphs.StateKeysValues[layer]);

    public static ModelProto ReadCrossKeysValues(ModelBundle bundle, int layer) => ReadKeysValues(bundle, bundle.Manifest.Graphs.CrossKeysValues[layer]);

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
            ]);
    }

    private static ModelProto ReadKeysValues(ModelBundle bundle, string file) => Read(
        bundle, file,
        [new(GraphContract.Hidden, DataType.Float, null, bundle.Configuration.ModelDimension)],
        [new(GraphContract.KeysValues, DataType.Float, null, 2 * bundle.Configuration.HeadCount * bundle.Manifest.GraphHeadDimension)]);

    private static ModelProto Read(ModelBundle bundle, string file, IReadOnlyList<Expected> inputs, IReadOnlyList<Expected> outputs)
    {
        string path = Path.Combine(bundle.Folder, file);
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
        return model;
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
        long bytes = ModelBundle.ElementCount(tensor.Shape) * sizeof(float);
        if (initializer.DataType != (int)DataType.Float || !initializer.Dims.SequenceEqual(tensor.Shape.Select(dimension => (long)dimension)))
            throw Invalid(path, $"tensor '{initializer.Name}' has another type or shape than in the manifest");
        if (initializer.ExternalData.Count != 3
            || External("location") != bundle.Manifest.WeightsFile
            || External("offset") != tensor.Offset.ToString(CultureInfo.InvariantCulture)
            || External("length") != bytes.ToString(CultureInfo.InvariantCulture))
            throw Invalid(path, $"tensor '{initializer.Name}' does not lie where the manifest says");

        string? External(string key) => initializer.ExternalData.FirstOrDefault(entry => entry.Key == key)?.Value;
    }

    private static InvalidModelException Invalid(string path, string what) => new($"The graph '{path}' does not fit its bundle: {what}. Convert the checkpoint again.");

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
