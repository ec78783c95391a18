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

    private static readonly (string Name, DataType Type, int Rank)[] s_encoderInputs = [(GraphContract.InputIds, DataType.Int64, 2), (GraphContract.AttentionMask, DataType.Int64, 2)];

    private static readonly (string Name, DataType Type, int Rank)[] s_blockInputs =
    [
        (GraphContract.Hidden, DataType.Float, 3), (GraphContract.RowSlots, DataType.Int64, 1), (GraphContract.SlotRows, DataType.Int64, 1),
        (GraphContract.SelfLengths, DataType.Int32, 1), (GraphContract.SelfCapacity, DataType.Int32, 0), (GraphContract.SelfBias, DataType.Float, 4),
        (GraphContract.SelfKeys, DataType.Float, 4), (GraphContract.SelfValues, DataType.Float, 4),
        (GraphContract.CrossLengths, DataType.Int32, 1), (GraphContract.CrossCapacity, DataType.Int32, 0), (GraphContract.CrossBias, DataType.Float, 4),
        (GraphContract.CrossKeys, DataType.Float, 4), (GraphContract.CrossValues, DataType.Float, 4),
    ];

    private static readonly (string Name, DataType Type, int Rank)[] s_blockOutputs =
        [(GraphContract.HiddenOut, DataType.Float, 3), .. GraphContract.Caches.Select(cache => (cache.Present, DataType.Float, 4))];

    public static ModelProto ReadEncoder(ModelBundle bundle) =>
        Read(bundle, bundle.Manifest.Graphs.Encoder, s_encoderInputs, [(GraphContract.EncoderOutput, DataType.Float, 3)]);

    public static ModelProto ReadDecoderBlock(ModelBundle bundle, int layer) =>
        Read(bundle, bundle.Manifest.Graphs.DecoderBlocks[layer], s_blockInputs, s_blockOutputs);

    public static ModelProto ReadStateKeysValues(ModelBundle bundle, int layer) => ReadKeysValues(bundle, bundle.Manifest.Graphs.StateKeysValues[layer]);

    public static ModelProto ReadCrossKeysValues(ModelBundle bundle, int layer) => ReadKeysValues(bundle, bundle.Manifest.Graphs.CrossKeysValues[layer]);

    private static ModelProto ReadKeysValues(ModelBundle bundle, string file) =>
        Read(bundle, file, [(GraphContract.Hidden, DataType.Float, 2)], [(GraphContract.KeysValues, DataType.Float, 2)]);

    private static ModelProto Read(
        ModelBundle bundle, string file, IReadOnlyList<(string Name, DataType Type, int Rank)> inputs, IReadOnlyList<(string Name, DataType Type, int Rank)> outputs)
    {
        string path = Path.Combine(bundle.Folder, file);
        ModelProto model;
        using (FileStream stream = File.OpenRead(path))
        {
            if (stream.Length > LargestBytes)
                throw Invalid(path, $"it is larger than {LargestBytes} bytes, as no graph of a bundle is");
            try
            {
                model = ModelProto.Parser.ParseFrom(stream);
            }
            catch (InvalidProtocolBufferException exception)
            {
                throw new InvalidModelException($"'{path}' is not an ONNX model: {exception.Message} Convert the checkpoint again.", exception);
            }
        }

        if (model.Graph is null)
            throw Invalid(path, "it has no graph");
        CheckValues(path, "input", model.Graph.Input, inputs);
        CheckValues(path, "output", model.Graph.Output, outputs);
        foreach (TensorProto initializer in model.Graph.Initializer)
            CheckInitializer(bundle, path, initializer);
        return model;
    }

    private static void CheckValues(
        string path, string kind, IReadOnlyCollection<ValueInfoProto> found, IReadOnlyList<(string Name, DataType Type, int Rank)> expected)
    {
        foreach ((string name, DataType type, int rank) in expected)
        {
            ValueInfoProto? value = found.FirstOrDefault(candidate => candidate.Name == name);
            if (value is null)
                throw Invalid(path, $"{kind} '{name}' is missing");
            if (value.Type?.TensorType is not { } tensor || tensor.ElemType != (int)type || (tensor.Shape?.Dim.Count ?? -1) != rank)
                throw Invalid(path, $"{kind} '{name}' is not a tensor of {rank} dimensions and type {type}");
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
        if (External("location") != bundle.Manifest.WeightsFile
            || External("offset") != tensor.Offset.ToString(CultureInfo.InvariantCulture)
            || External("length") != bytes.ToString(CultureInfo.InvariantCulture))
            throw Invalid(path, $"tensor '{initializer.Name}' does not lie where the manifest says");

        string? External(string key) => initializer.ExternalData.FirstOrDefault(entry => entry.Key == key)?.Value;
    }

    private static InvalidModelException Invalid(string path, string what) => new($"The graph '{path}' does not fit its bundle: {what}. Convert the checkpoint again.");
}
