using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Matrices that are stored in fewer bits, in single precision: ONNX Runtime's products take no other. Graphs widen them by nodes of their own, for other
/// tools; here all sessions share one widened copy. Not for several threads at once.
/// </summary>
internal sealed unsafe class WidenedWeights(ModelBundle bundle, int threadCount) : IDisposable
{
    private readonly Dictionary<string, (BundleTensor Tensor, NativeBuffer Buffer, OrtValue Value)> _weights = new(StringComparer.Ordinal);
    private readonly HashSet<string> _filled = new(StringComparer.Ordinal);

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

    /// <summary>A weight that was widened; it lives as long as this.</summary>
    public OrtValue this[string name] => _weights[name].Value;

    /// <summary>Widens those that are not.</summary>
    public void Widen(IEnumerable<string> names)
    {
        string[] missing = [.. names.Where(name => !_filled.Contains(name))];
        foreach (string name in missing)
        {
            if (!_weights.ContainsKey(name))
                _weights.Add(name, Reserve(name));
        }

        Parallel.ForEach(missing, new ParallelOptions { MaxDegreeOfParallelism = threadCount }, name =>
        {
            (BundleTensor tensor, NativeBuffer buffer, _) = _weights[name];
            bundle.Tensor(tensor).ReadAll((float*)buffer.Address);
            bundle.ReleasePages(tensor);
        });
        _filled.UnionWith(missing);
    }

    /// <summary>Gives back the memory of a widened weight that no session reads any more; the next one has it widened again.</summary>
    public void Discard(string name)
    {
        _filled.Remove(name);
        _weights[name].Buffer.Discard();
    }

    public void Dispose()
    {
        foreach ((_, NativeBuffer buffer, OrtValue value) in _weights.Values)
        {
            value.Dispose();
            buffer.Dispose();
        }
    }

    private (BundleTensor Tensor, NativeBuffer Buffer, OrtValue Value) Reserve(string name)
    {
        bundle.TryGetTensor(name, out BundleTensor tensor);
        var buffer = new NativeBuffer(tensor.ElementCount * sizeof(float));
        return (tensor, buffer, BoundTensor.Floats(buffer, [.. tensor.Shape.Select(dimension => (long)dimension)]));
    }
}
