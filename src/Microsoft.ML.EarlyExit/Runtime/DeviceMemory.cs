using System.Collections.Concurrent;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>The memory of the device that sessions run on. Thread-safe.</summary>
internal sealed class DeviceMemory : IDisposable
{
    // The last version of ONNX's operators with an Identity that all providers have.
    private const int CopyOpset = 19;

    private readonly ExecutionDevice _device;
    private readonly OrtMemoryInfo _info;
    private readonly OrtAllocator _allocator;
    private readonly Func<byte[], InferenceSession> _createSession;
    private readonly ConcurrentDictionary<TensorElementType, InferenceSession> _copies = new();
    private readonly ConcurrentDictionary<DeviceTensor, bool> _tensors = new();
    private readonly RunOptions _run = new();
    private readonly Lock _creation = new();

    /// <param name="device">The device.</param>
    /// <param name="session">A session on it, which outlives this.</param>
    /// <param name="createSession">Makes a session on the device from a model.</param>
    public DeviceMemory(ExecutionDevice device, InferenceSession session, Func<byte[], InferenceSession> createSession)
    {
        _device = device;
        _createSession = createSession;
        _info = device.CreateMemoryInfo();
        _allocator = new OrtAllocator(session, _info);
    }

    /// <summary>Tensors there that were not disposed.</summary>
    public int TensorCount => _tensors.Count;

    /// <summary>A tensor there, of what was in the memory before; the caller disposes it before this.</summary>
    /// <exception cref="OnnxRuntimeException">The device has not enough memory.</exception>
    public DeviceTensor Allocate(TensorElementType type, params long[] shape)
    {
        _device.Allocating?.Invoke();
        var tensor = new DeviceTensor(_allocator, _info, type, shape, released => _tensors.TryRemove(released, out _));
        _tensors[tensor] = true;
        return tensor;
    }

    /// <summary>Copies a tensor of the host, or of the device, to another of the same type and shape.</summary>
    public void Copy(OrtValue from, OrtValue to)
    {
        // By a graph: ONNX Runtime copies between its devices what is bound to one of its sessions.
        InferenceSession session = CopySession(to.GetTensorTypeAndShape().ElementDataType);
        using OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput("from", from);
        binding.BindOutput("to", to);
        session.RunSynchronized(_run, binding);
    }

    public void Dispose()
    {
        // What nobody owns any more would be released by the finalizer, which needs the allocator.
        foreach (DeviceTensor tensor in _tensors.Keys)
            tensor.Dispose();
        foreach (InferenceSession session in _copies.Values)
            session.Dispose();
        _run.Dispose();
        _allocator.Dispose();
        if (!ReferenceEquals(_info, OrtMemoryInfo.DefaultInstance))
            _info.Dispose();
    }

    private InferenceSession CopySession(TensorElementType type)
    {
        if (_copies.TryGetValue(type, out InferenceSession? session))
            return session;
        lock (_creation)
        {
            if (!_copies.TryGetValue(type, out session))
                _copies[type] = session = _createSession(CopyModel(type));
            return session;
        }
    }

    private static byte[] CopyModel(TensorElementType type)
    {
        var graph = new GraphProto { Name = "copy", Node = { new NodeProto { Name = "copy", OpType = "Identity", Input = { "from" }, Output = { "to" } } } };
        foreach ((string name, ICollection<ValueInfoProto> values) in new[] { ("from", (ICollection<ValueInfoProto>)graph.Input), ("to", graph.Output) })
        {
            // Of any shape.
            ValueInfoProto value = GraphBuilder.ValueInfo(name, (TensorProto.Types.DataType)type);
            value.Type.TensorType.Shape = null;
            values.Add(value);
        }

        var model = new ModelProto { IrVersion = 9, Graph = graph, OpsetImport = { new OperatorSetIdProto { Domain = "", Version = CopyOpset } } };
        return Google.Protobuf.MessageExtensions.ToByteArray(model);
    }
}
