using System.Collections.Concurrent;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The ONNX Runtime sessions of one model, made when first asked for. All of them use the same weights: the mapped file's where an operator reads them as they
/// are, and one packed copy where it does not. Thread-safe.
/// </summary>
internal sealed unsafe class ModelSessions : IDisposable
{
    // The largest message of protobuf, less what a graph has besides weights.
    private const long LargestInside = int.MaxValue - (64 << 20);

    private readonly ModelBundle _bundle;
    private readonly int _threadCount;
    private readonly int? _cudaDevice;
    private readonly PrePackedWeightsContainer _packedWeights;
    private readonly ConcurrentDictionary<string, OrtValue> _weights = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<SessionKey, InferenceSession> _sessions = new();
    private readonly Lock _creation = new();

    public ModelSessions(ModelBundle bundle, EarlyExitModelOptions options)
    {
        _bundle = bundle;
        _threadCount = options.ThreadCount ?? Environment.ProcessorCount;
        // The environment comes first: any other use would bring up one without the shared thread pool.
        using SessionOptions poolOptions = OnnxEnvironment.CreateSessionOptions(_threadCount);
        ThreadPool = new OnnxThreadPool(poolOptions);
        _cudaDevice = GpuSelection.Choose(options, OrtEnv.Instance().GetAvailableProviders());
        _packedWeights = new PrePackedWeightsContainer();
    }

    /// <summary>The threads of these sessions, for work of our own between runs.</summary>
    public OnnxThreadPool ThreadPool { get; }

    public int ThreadCount => _threadCount;

    private enum SessionKind
    {
        Encoder,
        Segment,
        StateKeysValues,
        CrossKeysValues,
        TeacherForcedDecoder,
    }

    public InferenceSession Encoder => Get(new SessionKey(SessionKind.Encoder, 0, 0, false));

    /// <summary>Decoder blocks <paramref name="firstLayer"/> to <paramref name="lastLayer"/>, counted from 1, as one session.</summary>
    public InferenceSession Segment(int firstLayer, int lastLayer, bool selectRows) => Get(new SessionKey(SessionKind.Segment, firstLayer, lastLayer, selectRows));

    public InferenceSession StateKeysValues(int layer) => Get(new SessionKey(SessionKind.StateKeysValues, layer, layer, false));

    public InferenceSession CrossKeysValues(int layer) => Get(new SessionKey(SessionKind.CrossKeysValues, layer, layer, false));

    /// <summary>All decoder layers over a whole target.</summary>
    public InferenceSession TeacherForcedDecoder => Get(new SessionKey(SessionKind.TeacherForcedDecoder, 1, _bundle.Configuration.DecoderLayerCount, false));

    public void Dispose()
    {
        foreach (InferenceSession session in _sessions.Values)
            session.Dispose();

        ThreadPool.Dispose();
        _packedWeights.Dispose();
        foreach (OrtValue weight in _weights.Values)
            weight.Dispose();
    }

    private InferenceSession Get(SessionKey key)
    {
        if (_sessions.TryGetValue(key, out InferenceSession? session))
            return session;
        // One at a time: packing needs memory for the weights of the session being made, beside the copy it then shares.
        lock (_creation)
        {
            if (!_sessions.TryGetValue(key, out session))
                _sessions[key] = session = Create(key);
            return session;
        }
    }

    private InferenceSession Create(SessionKey key)
    {
        ModelProto model = key.Kind switch
        {
            SessionKind.Encoder => BundleGraph.ReadEncoder(_bundle),
            SessionKind.StateKeysValues => BundleGraph.ReadStateKeysValues(_bundle, key.FirstLayer - 1),
            SessionKind.CrossKeysValues => BundleGraph.ReadCrossKeysValues(_bundle, key.FirstLayer - 1),
            SessionKind.TeacherForcedDecoder => BundleGraph.ReadTeacherForcedDecoder(_bundle),
            _ => SegmentComposer.Compose(
                [.. Enumerable.Range(key.FirstLayer - 1, key.LastLayer - key.FirstLayer + 1).Select(layer => BundleGraph.ReadDecoderBlock(_bundle, layer))],
                key.FirstLayer, key.SelectRows),
        };

        try
        {
            using SessionOptions options = OnnxEnvironment.CreateSessionOptions(_threadCount);
            options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(_bundle.WeightsPath)!);
            var weights = model.Graph.Initializer.Where(initializer => initializer.DataLocation == TensorProto.Types.DataLocation.External).ToList();
            foreach (TensorProto weight in weights)
                weight.ExternalData.First(entry => entry.Key == "location").Value = Path.GetFileName(_bundle.WeightsPath);
            if (_cudaDevice is { } device)
            {
                // Here the runtime reads the file itself.
                if (_bundle.HasOwnWeights)
                    PutInside(weights);
                options.AppendExecutionProvider_CUDA(device);
                return new InferenceSession(model.ToByteArray(), options);
            }

            foreach (TensorProto weight in weights)
                options.AddInitializer(weight.Name, _weights.GetOrAdd(weight.Name, CreateWeight));
            var session = new InferenceSession(model.ToByteArray(), options, _packedWeights);
            ReleasePackedPages(model.Graph, weights);
            return session;
        }
        catch (OnnxRuntimeException exception)
        {
            throw new InvalidModelException(
                $"ONNX Runtime refuses {key.Kind} {key.FirstLayer}-{key.LastLayer} of the model bundle '{_bundle.Folder}': {exception.Message} Convert the checkpoint again.",
                exception);
        }
    }

    /// <summary>Makes weights a part of their graph, which must then have less than 2 GB.</summary>
    private void PutInside(List<TensorProto> weights)
    {
        long total = 0;
        foreach (TensorProto weight in weights)
        {
            _bundle.TryGetTensor(weight.Name, out BundleTensor tensor);
            long bytes = ModelBundle.ElementCount(tensor.Shape) * sizeof(float);
            if ((total += bytes) > LargestInside)
            {
                throw new InvalidOperationException(
                    $"Copied weights reach the GPU only in graphs of less than 2 GB, and one of '{_bundle.Folder}' has more. Load the model without {nameof(EarlyExitModelOptions.CopyWeights)}.");
            }

            weight.ExternalData.Clear();
            weight.ClearDataLocation();
            weight.RawData = ByteString.CopyFrom(new ReadOnlySpan<byte>(_bundle.TensorData(tensor), (int)bytes));
        }
    }

    /// <summary>Matrices that only products read are packed by now; their mapped pages would be a second copy in memory.</summary>
    private void ReleasePackedPages(GraphProto graph, IReadOnlyList<TensorProto> weights)
    {
        var read = graph.Node.Where(node => node.OpType != "MatMul").SelectMany(node => node.Input).ToHashSet(StringComparer.Ordinal);
        foreach (TensorProto weight in weights)
        {
            if (!read.Contains(weight.Name) && _bundle.TryGetTensor(weight.Name, out BundleTensor tensor))
                _bundle.ReleasePages(tensor);
        }
    }

    private OrtValue CreateWeight(string name)
    {
        if (!_bundle.TryGetTensor(name, out BundleTensor tensor))
            throw new InvalidOperationException($"Tensor '{name}' was not checked.");
        long[] shape = [.. tensor.Shape.Select(dimension => (long)dimension)];
        return OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, TensorElementType.Float, shape, (nint)_bundle.TensorData(tensor), ModelBundle.ElementCount(tensor.Shape) * sizeof(float));
    }

    private readonly record struct SessionKey(SessionKind Kind, int FirstLayer, int LastLayer, bool SelectRows);
}
