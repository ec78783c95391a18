using System.Globalization;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>The list of kernels that ONNX Runtime's CUDA provider has, and which it takes for a node; see test/fixtures/onnxruntime/README.md.</summary>
internal sealed class CudaKernels
{
    // The version of ONNX's operators that defines the operator for graphs of version 23. A kernel is of one definition.
    private static readonly Dictionary<string, int> s_definitions = new(StringComparer.Ordinal)
    {
        ["Add"] = 14, ["Cast"] = 23, ["Clip"] = 13, ["Concat"] = 13, ["Gather"] = 13, ["Gelu"] = 20, ["Identity"] = 23, ["Less"] = 13, ["MatMul"] = 13,
        ["Mul"] = 14, ["RMSNormalization"] = 23, ["Relu"] = 14, ["Reshape"] = 23, ["ScatterND"] = 18, ["Sigmoid"] = 13, ["Softmax"] = 13, ["Split"] = 18,
        ["Sub"] = 14, ["Transpose"] = 23, ["Unsqueeze"] = 23, ["Where"] = 16, ["FusedMatMul"] = 1, ["GroupQueryAttention"] = 1,
    };

    private readonly Dictionary<string, (string[] Forms, int Version, Dictionary<string, string[]> Types)> _kernels = new(StringComparer.Ordinal);

    public CudaKernels()
    {
        foreach (string line in File.ReadLines(Repository.Fixture("onnxruntime/cuda-kernels.md")).Skip(2))
        {
            string[] cells = line.Split('|');
            if (cells[2].Length == 0)
                continue;
            var types = cells[4].Split("<br/>").Select(part => part.Split(" = ")).ToDictionary(
                part => part[0].Trim().Trim('*'), part => part[1].Split(", "), StringComparer.Ordinal);
            _kernels.Add(cells[1], (cells[2].Split("<br><br>or<br><br>"), int.Parse(cells[3].TrimEnd('+'), CultureInfo.InvariantCulture), types));
        }
    }

    /// <summary>The nodes of a graph that no kernel takes, with their types.</summary>
    public IReadOnlyList<string> Unplaced(GraphProto graph)
    {
        var types = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (ValueInfoProto input in graph.Input)
            types[input.Name] = Name(input.Type.TensorType.ElemType);
        foreach (TensorProto initializer in graph.Initializer)
            types[initializer.Name] = Name(initializer.DataType);
        var unplaced = new List<string>();
        foreach (NodeProto node in graph.Node)
        {
            string[] inputs = [.. node.Input.Select(input => input.Length == 0 ? "" : types[input])];
            string? output = OutputType(node, inputs);
            if (output is null)
                unplaced.Add($"{node.OpType}({string.Join(", ", inputs)}) of '{node.Name}'");

            // What follows is judged as if it had run.
            foreach (string name in node.Output)
                types[name] = output ?? inputs[0];
        }

        foreach (ValueInfoProto output in graph.Output)
            Assert.Equal(Name(output.Type.TensorType.ElemType), types[output.Name]);
        return unplaced;
    }

    private string? OutputType(NodeProto node, string[] inputs)
    {
        if (!_kernels.TryGetValue(node.OpType, out (string[] Forms, int Version, Dictionary<string, string[]> Types) kernel)
            || kernel.Version != s_definitions[node.OpType])
            return null;
        foreach (string form in kernel.Forms)
        {
            string[][] parameters = [.. form.Split("<br>").Select(parameter => parameter.Trim().Split(' ', ':'))];
            string[] takes = [.. parameters.Where(parameter => parameter[0] == "*in*").Select(parameter => parameter[^1].Trim('*'))];
            string gives = parameters.First(parameter => parameter[0] == "*out*")[^1].Trim('*');
            if (Bind(takes, inputs, kernel.Types) is not { } bound)
                continue;
            return node.OpType == "Cast" ? Among(Name((int)node.Attribute.Single(one => one.Name == "to").I), kernel.Types[gives])
                : bound.TryGetValue(gives, out string? type) ? type : kernel.Types[gives].Single();
        }

        return null;
    }

    /// <summary>What each type parameter is for given inputs; null where they do not fit.</summary>
    private static Dictionary<string, string>? Bind(string[] takes, string[] inputs, Dictionary<string, string[]> types)
    {
        var bound = new Dictionary<string, string>(StringComparer.Ordinal);
        for (int at = 0; at < inputs.Length; at++)
        {
            // The last parameter may be many inputs.
            string parameter = takes[Math.Min(at, takes.Length - 1)];
            bool isParameter = types.TryGetValue(parameter, out string[]? allowed);
            if (inputs[at].Length == 0)
                continue;
            if (!(allowed ?? [parameter]).Contains(inputs[at]) || (isParameter && bound.TryGetValue(parameter, out string? other) && other != inputs[at]))
                return null;
            bound[parameter] = inputs[at];
        }

        return bound;
    }

    private static string? Among(string type, string[] allowed) => allowed.Contains(type) ? type : null;

    private static string Name(int type) => $"tensor({((TensorProto.Types.DataType)type).ToString().ToLowerInvariant()})";
}
