using System.Collections.Concurrent;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Matrices that are stored in fewer bits, in single precision: ONNX Runtime's products take no other. Graphs widen them by nodes of their own, for other tools; here
/// all sessions share one widened copy.
/// </summary>
internal sealed unsafe class WidenedWeights(ModelBundle bundle) : IDisposable
{
    private readonly ConcurrentDictionary<string, (NativeBuffer Buffer, OrtValue Value)> _weights = new(StringComparer.Ordinal);

    /// <summary>Takes the nodes that widen weights out of a graph, to which those weights must then be given in single precision.</summary>
    /// <returns>Their names.</returns>
    public static IReadOnlySet<string> LeaveOutWidening(GraphProto graph)
    {
        List<NodeProto> nodes = [.. graph.Node.Where(node => node.Name.EndsWith(GraphContract.WidenedSuffix, StringComparison.Ordinal))];
        var stored = nodes.ToDictionary(node => node.Output[0], node => node.Input[0], StringComparer.Ordinal);
        foreach (NodeProto node in nodes)
            graph.Node.Remove(node);
        foreach (NodeProto node in graph.Node)
        {
            for (int input = 0; input < node.Input.Count; input++)
            {
                if (stored.TryGetValue(node.Input[input], out string? weight))
                    node.Input[input] = weight;
            }
        }

        HashSet<string> names = [.. stored.Values];
        foreach (TensorProto weight in graph.Initializer.Where(initializer => names.Contains(initializer.Name)))
            weight.DataType = (int)DataType.Float;
        return names;
    }

    /// <summary>Widens what is not yet, several at a time. Not for several threads at once.</summary>
    public void Widen(IReadOnlySet<string> names) =>
        Parallel.ForEach(names, name => _weights.GetOrAdd(name, Create));

    /// <summary>A widened weight; it lives as long as this.</summary>
    public OrtValue this[string name] => _weights[name].Value;

    public void Dispose()
    {
        foreach ((NativeBuffer buffer, OrtValue value) in _weights.Values)
        {
            value.Dispose();
            buffer.Dispose();
        }
    }

    private (NativeBuffer Buffer, OrtValue Value) Create(string name)
    {
        bundle.TryGetTensor(name, out BundleTensor tensor);
        var buffer = new NativeBuffer(tensor.ElementCount * sizeof(float));
        bundle.Tensor(tensor).ReadAll((float*)buffer.Address);
        bundle.ReleasePages(tensor);
        return (buffer, BoundTensor.Floats(buffer, [.. tensor.Shape.Select(dimension => (long)dimension)]));
    }
}
