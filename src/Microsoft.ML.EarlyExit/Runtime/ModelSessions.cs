using System.Collections.Concurrent;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The ONNX Runtime sessions of one model, made when first requested. All of them use the same weights: the mapped file's where an operator reads them as they
/// are, one widened copy of what is stored in fewer bits, and one packed copy where an operator does not read them as they are. Thread-safe.
/// </summary>
internal sealed unsafe class ModelSessions : IDisposable
{
    // The largest message of protobuf, less what a graph has besides weights.
    private const long LargestInside = int.MaxValue - (64 << 20);

    private readonly ModelBundle _bundle;
    private readonly int _threadCount;
    private readonly GpuSelection _gpu;
    private readonly ExecutionDevice? _standIn;
    private readonly DeviceMemory? _device;
    private readonly PrePackedWeightsContainer _packedWeights;
    private readonly AttentionOperator _attention;
    private readonly SequenceAttentionOperator _sequences;
    private readonly QuantizedProductOperator _products;
    private readonly WidenedWeights _widened;
    private readonly PackingProbe _packing;
    private readonly ConcurrentDictionary<string, OrtValue> _weights = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<SessionKey, InferenceSession> _sessions = new();
    private readonly ConcurrentQueue<string> _warnings = new();
    private readonly Lock _creation = new();

    /// <param name="bundle">The model.</param>
    /// <param name="options">How to load.</param>
    /// <param name="standIn">A device in the place of the CUDA device that the options name.</param>
    public ModelSessions(ModelBundle bundle, EarlyExitModelOptions options, ExecutionDevice? standIn = null)
    {
        _bundle = bundle;
        _standIn = standIn;
        // The environment comes first: any other use would bring up one without the shared thread pool.
        _threadCount = OnnxEnvironment.Open(options, _warnings.Enqueue);
        _widened = new WidenedWeights(bundle, _threadCount);
        _packing = new PackingProbe(CreateOptions);
        _gpu = new GpuSelection(options, standIn is null ? OrtEnv.Instance().GetAvailableProviders() : [GpuSelection.CudaProvider], _warnings.Enqueue);
        if (WeightFormat.Of(bundle.Manifest.Precision).HasScales)
        {
            _gpu.RefuseWholeNumbers();
            if (!IntegerKernel.IsFast)
                _warnings.Enqueue("This processor has neither AVX2 nor Arm's vectors: whole numbers are multiplied several times slower than on others.");
        }

        using SessionOptions poolOptions = OnnxEnvironment.CreateSessionOptions(_threadCount);
        ThreadPool = new OnnxThreadPool(poolOptions);
        _packedWeights = new PrePackedWeightsContainer();
        _attention = new AttentionOperator();
        _sequences = new SequenceAttentionOperator();
        _products = new QuantizedProductOperator();
        if (_gpu.Device is null)
            return;
        try
        {
            // A device is known to work only once something has run on it.
            if (Find(new SessionKey(SessionKind.Encoder, 0, 0, OnDevice: true)) is { } encoder)
                _device = _gpu.Create<DeviceMemory?>(number => CreateMemory(DeviceOf(number), encoder), () => null);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What is not as the options request.</summary>
    public IReadOnlyList<string> Warnings => [.. _warnings];

    /// <summary>Sessions made so far.</summary>
    public int Count => _sessions.Count;

    /// <summary>The threads of these sessions, for work of our own between runs.</summary>
    public OnnxThreadPool ThreadPool { get; }

    /// <summary>Memory that caches of earlier calls had.</summary>
    public PagePool CachePages { get; } = new();

    /// <summary>Threads of one step.</summary>
    public int ThreadCount => _threadCount;

    private enum SessionKind
    {
        Encoder,
        Segment,
        StateKeysValues,
        CrossKeysValues,
        TeacherForcedDecoder,
        Head,
    }

    public InferenceSession Encoder => OfSequence(SessionKind.Encoder, 0, 0);

    /// <summary>The memory of the device that batches run on; null for the host's.</summary>
    public DeviceMemory? Device => _gpu.Device is null ? null : _device;

    /// <summary>What multiplies with the whole LM head on the device; null where the host does. It stays on the device where that is given up later.</summary>
    public DeviceHead? CreateHead()
    {
        (int width, int rows) = (_bundle.Configuration.ModelDimension, _bundle.Configuration.VocabularySize);
        if (Device is null || (long)width * rows < DeviceHead.LeastWeights)
            return null;
        return Find(new SessionKey(SessionKind.Head, 0, 0, OnDevice: true)) is { } session ? new DeviceHead(session, width, rows) : null;
    }

    /// <summary>Decoder blocks as one session.</summary>
    /// <param name="blocks">The blocks.</param>
    /// <param name="onDevice">Whether in the form of <see cref="DeviceGraph"/>, else in that of <see cref="PackedBlocks"/>.</param>
    public InferenceSession Segment(DecoderSegment blocks, bool onDevice = false) =>
        Get(new SessionKey(SessionKind.Segment, blocks.FirstLayer, blocks.LastLayer, onDevice));

    /// <param name="layer">The layer, from 1.</param>
    /// <param name="onDevice">Whether they go into caches in a device's memory.</param>
    public InferenceSession StateKeysValues(int layer, bool onDevice = false) =>
        Get(new SessionKey(SessionKind.StateKeysValues, layer, layer, onDevice));

    /// <inheritdoc cref="StateKeysValues"/>
    public InferenceSession CrossKeysValues(int layer, bool onDevice = false) =>
        Get(new SessionKey(SessionKind.CrossKeysValues, layer, layer, onDevice));

    /// <summary>Makes the sessions that generating by a plan needs, also where it needs them only after the first token.</summary>
    public void Prepare(ExitPlan plan)
    {
        bool onDevice = Device is not null;
        _ = Encoder;
        foreach (DecoderSegment blocks in plan.Segments)
        {
            _ = Segment(blocks, onDevice);
            for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            {
                _ = CrossKeysValues(layer, onDevice);
                if (blocks.FirstLayer > 1 && plan.StatePropagation == StatePropagation.StateCopy)
                    _ = StateKeysValues(layer, onDevice);
            }
        }
    }

    /// <summary>Makes the sessions that scoring targets needs.</summary>
    public void PrepareScoring() => _ = (Encoder, TeacherForcedDecoder);

    /// <summary>What a caller is told of a run that failed, other than by being cancelled.</summary>
    public Exception Failure(Exception exception) =>
        exception is OnnxRuntimeException && _device is not null
            ? new InvalidOperationException(
                _gpu.Device is { } device
                    ? $"ONNX Runtime could not run the model on CUDA device {device}: {exception.Message} Free memory on it, name another device, or run on "
                    + "the CPU."
                    : $"ONNX Runtime could not run the model, which was loaded for a CUDA device that later calls no longer use: {exception.Message} "
                    + "Call again, or load the model for the CPU.",
                exception)
            : RowMemory.IsExhausted(exception)
                ? new InvalidOperationException(
                    $"Memory ran out while the model ran: {exception.Message} Run fewer rows side by side, or shorter ones.", exception)
                : new InvalidModelException(
                    $"ONNX Runtime could not run the model bundle '{_bundle.Name}': {exception.Message} Convert the checkpoint again.", exception);

    /// <summary>All decoder layers over a whole target.</summary>
    public InferenceSession TeacherForcedDecoder => OfSequence(SessionKind.TeacherForcedDecoder, 1, _bundle.Configuration.DecoderLayerCount);

    public void Dispose()
    {
        _device?.Dispose();
        foreach (InferenceSession session in _sessions.Values)
            session.Dispose();

        ThreadPool.Dispose();
        _attention.Dispose();
        _sequences.Dispose();
        _products.Dispose();
        _packedWeights.Dispose();
        foreach (OrtValue weight in _weights.Values)
            weight.Dispose();
        _widened.Dispose();
        CachePages.Dispose();
    }

    /// <summary>What runs over whole sequences, on the device in use.</summary>
    private InferenceSession OfSequence(SessionKind kind, int firstLayer, int lastLayer)
    {
        var key = new SessionKey(kind, firstLayer, lastLayer);
        return (_gpu.Device is null ? null : Find(key with { OnDevice = true })) ?? Get(key);
    }

    private InferenceSession Get(SessionKey key) => Find(key)
        ?? throw new InvalidOperationException(
            $"This call began on a CUDA device, which then could not take a part of the model. {_warnings.LastOrDefault()} Call again.");

    /// <summary>A session; null for one on a device that could not take it, and is not used any more.</summary>
    private InferenceSession? Find(SessionKey key)
    {
        if (_sessions.TryGetValue(key, out InferenceSession? session))
            return session;
        // One at a time: packing needs memory for the weights of the session being made, beside the copy it then shares.
        lock (_creation)
        {
            if (!_sessions.TryGetValue(key, out session) && (session = Create(key)) is not null)
                _sessions[key] = session;
            return session;
        }
    }

    private InferenceSession? Create(SessionKey key)
    {
        ModelProto model = key.Kind switch
        {
            SessionKind.Encoder => BundleGraph.ReadEncoder(_bundle),
            SessionKind.StateKeysValues => BundleGraph.ReadStateKeysValues(_bundle, key.FirstLayer - 1),
            SessionKind.CrossKeysValues => BundleGraph.ReadCrossKeysValues(_bundle, key.FirstLayer - 1),
            SessionKind.TeacherForcedDecoder => BundleGraph.ReadTeacherForcedDecoder(_bundle),
            SessionKind.Head => DeviceGraph.Head(_bundle),
            _ => SegmentComposer.Compose(
                [.. Enumerable.Range(key.FirstLayer - 1, key.LastLayer - key.FirstLayer + 1).Select(layer => BundleGraph.ReadDecoderBlock(_bundle, layer))],
                key.FirstLayer, packed: !key.OnDevice),
        };

        return key.OnDevice
            ? _gpu.Create<InferenceSession?>(device => CreateWorking(key, model, DeviceOf(device)), () => null)
            : CreateOnCpu(key, model);
    }

    private ExecutionDevice DeviceOf(int number) => _standIn ?? ExecutionDevice.Cuda(number);

    private DeviceMemory CreateMemory(ExecutionDevice device, InferenceSession encoder) => new(device, encoder, model => CreateSession(device, model));

    private InferenceSession CreateWorking(SessionKey key, ModelProto model, ExecutionDevice device)
    {
        InferenceSession session = CreateOnDevice(key, ForDevice(key.Kind, model, device.MultipliesBFloat16), device);
        if (key.Kind != SessionKind.Encoder)
            return session;
        try
        {
            // Whether it has a product of such weights, and all libraries that it takes, shows when it runs.
            using var run = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            EncodedInput.Encode(session, [_bundle.Configuration.PadTokenId], _bundle.Configuration.ModelDimension, run).Dispose();
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private InferenceSession CreateOnDevice(SessionKey key, ModelProto model, ExecutionDevice device)
    {
        if (_standIn is not null)
            return CreateOnCpu(key, model, device);
        List<TensorProto> weights = ExternalWeights(model);
        // Here the runtime reads the file itself.
        if (_bundle.HasOwnWeights)
            PutInside(weights);
        return CreateSession(device, model.ToByteArray());
    }

    private ModelProto ForDevice(SessionKind kind, ModelProto model, bool narrow) => kind switch
    {
        SessionKind.Segment => DeviceGraph.OfBlocks(model, narrow),
        SessionKind.StateKeysValues or SessionKind.CrossKeysValues => DeviceGraph.OfKeysValues(model, _bundle, narrow),
        SessionKind.Encoder or SessionKind.TeacherForcedDecoder => DeviceGraph.OfSequence(model, narrow),
        _ => model,
    };

    private InferenceSession CreateSession(ExecutionDevice device, byte[] model)
    {
        using SessionOptions options = CreateOptions();
        device.AppendTo(options);
        return new InferenceSession(model, options);
    }

    private InferenceSession CreateOnCpu(SessionKey key, ModelProto model, ExecutionDevice? standIn = null)
    {
        try
        {
            using SessionOptions options = CreateOptions();
            standIn?.AppendTo(options);
            if (key is { Kind: SessionKind.Segment, OnDevice: false })
                _attention.AddTo(options);
            if (standIn is null && SequenceAttentionOperator.Replace(model))
                _sequences.AddTo(options);
            if (QuantizedProductOperator.Replace(model))
                _products.AddTo(options);
            IReadOnlySet<string> widened = WidenedWeights.LeaveOutWidening(model.Graph);
            List<TensorProto> weights = ExternalWeights(model);
            _widened.Widen(widened);
            foreach (TensorProto weight in weights)
                options.AddInitializer(weight.Name, widened.Contains(weight.Name) ? _widened[weight.Name] : _weights.GetOrAdd(weight.Name, CreateWeight));
            var session = new InferenceSession(model.ToByteArray(), options, _packedWeights);
            ReleasePackedPages(model.Graph, weights, widened);
            return session;
        }
        catch (Exception exception) when (RowMemory.IsExhausted(exception))
        {
            throw Failure(exception);
        }
        catch (OnnxRuntimeException exception)
        {
            throw new InvalidModelException(
                $"ONNX Runtime refuses {key.Kind} {key.FirstLayer}-{key.LastLayer} of the model bundle '{_bundle.Name}': {exception.Message} "
                + "Convert the checkpoint again.",
                exception);
        }
    }

    private SessionOptions CreateOptions()
    {
        SessionOptions options = OnnxEnvironment.CreateSessionOptions(_threadCount);
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(_bundle.WeightsPath)!);
        return options;
    }

    /// <summary>The weights that a graph does not hold itself, with the place of the file they are in.</summary>
    private List<TensorProto> ExternalWeights(ModelProto model)
    {
        var weights = model.Graph.Initializer.Where(initializer => initializer.DataLocation == TensorProto.Types.DataLocation.External).ToList();
        foreach (TensorProto weight in weights)
            weight.ExternalData.First(entry => entry.Key == "location").Value = Path.GetFileName(_bundle.WeightsPath);
        return weights;
    }

    /// <summary>Makes weights a part of their graph, which must then have less than 2 GB.</summary>
    private void PutInside(List<TensorProto> weights)
    {
        long total = 0;
        foreach (TensorProto weight in weights)
        {
            _bundle.TryGetTensor(weight.Name, out BundleTensor tensor);
            if ((total += tensor.ByteCount) > LargestInside)
            {
                throw new InvalidOperationException(
                    $"Copied weights reach the GPU only in graphs of less than 2 GB, and one of '{_bundle.Folder}' has more. "
                    + $"Load the model without {nameof(EarlyExitModelOptions.CopyWeights)}.");
            }

            weight.ExternalData.Clear();
            weight.ClearDataLocation();
            weight.RawData = ByteString.CopyFrom(new ReadOnlySpan<byte>((void*)_bundle.Tensor(tensor).Address, (int)tensor.ByteCount));
        }
    }

    /// <summary>Matrices that only the runtime's products read are packed by now; their mapped pages, or widened copies, would be a second copy.</summary>
    private void ReleasePackedPages(GraphProto graph, IReadOnlyList<TensorProto> weights, IReadOnlySet<string> widened)
    {
        var read = graph.Node.Where(node => node.OpType != "MatMul").SelectMany(node => node.Input).ToHashSet(StringComparer.Ordinal);
        foreach (TensorProto weight in weights)
        {
            if (read.Contains(weight.Name) || !_bundle.TryGetTensor(weight.Name, out BundleTensor tensor))
                continue;
            if (!widened.Contains(weight.Name))
                _bundle.ReleasePages(tensor);
            // Those of the file would come back if they were read after all; these would not.
            else if (_packing.Packs(tensor.Shape[0], tensor.Shape[1], Path.GetFileName(_bundle.WeightsPath)))
                _widened.Discard(weight.Name);
        }
    }

    private OrtValue CreateWeight(string name)
    {
        if (!_bundle.TryGetTensor(name, out BundleTensor tensor))
            throw new InvalidOperationException($"Tensor '{name}' was not checked.");
        // The runtime numbers types as graphs do, and has none of four bits.
        bool isPacked = tensor.Type == WeightPrecision.Int4;
        var type = isPacked ? TensorElementType.UInt8 : (TensorElementType)WeightFormat.Of(tensor.Type).OnnxType;
        long[] shape = [.. tensor.Shape.Select(dimension => (long)dimension)];
        if (isPacked)
            shape[^1] /= 2;
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, _bundle.Tensor(tensor).Address, tensor.ByteCount);
    }

    private readonly record struct SessionKey(SessionKind Kind, int FirstLayer, int LastLayer, bool OnDevice = false);
}
