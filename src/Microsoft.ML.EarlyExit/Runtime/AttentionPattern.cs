using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Onnx;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Finds attention in standard operators: <c>softmax(heads(q) · heads(k)ᵀ + bias) · heads(v)</c>, joined again, with k and v split from one tensor. What
/// differs in any operator, or is read elsewhere too, is none.
/// </summary>
internal sealed class AttentionPattern
{
    private static readonly long[] s_byHead = [0, 2, 1, 3];
    private static readonly long[] s_byHeadTurned = [0, 2, 3, 1];

    private readonly Dictionary<string, NodeProto> _makers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<NodeProto>> _readers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorProto> _constants;
    private readonly HashSet<string> _outputs;
    private readonly HashSet<TensorProto> _shapes = [];

    public AttentionPattern(GraphProto graph)
    {
        foreach (NodeProto node in graph.Node)
        {
            foreach (string output in node.Output)
                _makers[output] = node;
            foreach (string input in node.Input)
            {
                ref List<NodeProto>? readers = ref CollectionsMarshal.GetValueRefOrAddDefault(_readers, input, out _);
                (readers ??= []).Add(node);
            }
        }

        _constants = graph.Initializer.ToDictionary(initializer => initializer.Name, StringComparer.Ordinal);
        _outputs = graph.Output.Select(output => output.Name).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>The constants that what was found took its shapes from.</summary>
    public IEnumerable<TensorProto> Shapes => _shapes;

    /// <summary>The attention that a softmax belongs to; null for none.</summary>
    public Found? Match(NodeProto softmax)
    {
        if (Axis(softmax) != -1
            || Maker(softmax.Input[0], "Add") is not { } biased || Maker(biased.Input[0], "MatMul") is not { } scores
            || OnlyReader(softmax, "MatMul") is not { } mixed || mixed.Input[0] != softmax.Output[0]
            || OnlyReader(mixed, "Transpose") is not { } byPosition || !HasOrder(byPosition, s_byHead)
            || OnlyReader(byPosition, "Reshape") is not { } joined
            || OnlyReader(scores, "Add") is null || OnlyReader(biased, "Softmax") is null)
        {
            return null;
        }

        var others = new List<NodeProto> { scores, biased, softmax, mixed, byPosition };
        if (Heads(scores.Input[0], s_byHead, others) is not { } queries || Heads(scores.Input[1], s_byHeadTurned, others) is not { } keys
            || Heads(mixed.Input[1], s_byHead, others) is not { } values || queries.Shape != keys.Shape || keys.Shape != values.Shape
            || Maker(keys.Source, "Split") is not { } split || split.Output.Count != 2 || Axis(split) != -1
            || split.Output[0] != keys.Source || split.Output[1] != values.Source
            || Readers(keys.Source) != 1 || Readers(values.Source) != 1
            || Shape(queries.Shape, 4) is not [0, 0, > 0 and var heads, > 0 and var width] || Shape(joined.Input[1], 3) is not [0, 0, var inner]
            || inner != heads * width)
        {
            return null;
        }

        others.Add(split);
        _shapes.UnionWith([_constants[queries.Shape], _constants[joined.Input[1]]]);
        return new Found(joined, others, queries.Source, split.Input[0], biased.Input[1], heads);
    }

    private (string Source, string Shape)? Heads(string value, long[] order, List<NodeProto> others)
    {
        if (Maker(value, "Transpose") is not { } transpose || !HasOrder(transpose, order) || Readers(value) != 1
            || Maker(transpose.Input[0], "Reshape") is not { } reshape || OnlyReader(reshape, "Transpose") is null)
        {
            return null;
        }

        others.AddRange([transpose, reshape]);
        return (reshape.Input[0], reshape.Input[1]);
    }

    private NodeProto? Maker(string value, string type) =>
        _makers.TryGetValue(value, out NodeProto? maker) && maker.OpType == type && maker.Domain.Length == 0 ? maker : null;

    private NodeProto? OnlyReader(NodeProto node, string type) =>
        Readers(node.Output[0]) == 1 && _readers[node.Output[0]][0] is { } reader && reader.OpType == type && reader.Domain.Length == 0 ? reader : null;

    private int Readers(string value) =>
        _outputs.Contains(value) ? int.MaxValue : _readers.TryGetValue(value, out List<NodeProto>? readers) ? readers.Count : 0;

    private static long? Axis(NodeProto node) => node.Attribute.FirstOrDefault(attribute => attribute.Name == "axis")?.I;

    private static bool HasOrder(NodeProto transpose, ReadOnlySpan<long> order) =>
        transpose.Attribute.FirstOrDefault(attribute => attribute.Name == "perm") is { } permutation && order.SequenceEqual([.. permutation.Ints]);

    private long[]? Shape(string name, int length) =>
        _constants.TryGetValue(name, out TensorProto? constant) && constant.DataType == (int)DataType.Int64
            && constant.DataLocation == TensorProto.Types.DataLocation.Default && constant.RawData.Length == length * sizeof(long)
            ? MemoryMarshal.Cast<byte, long>(constant.RawData.Span).ToArray()
            : null;

    /// <summary>Attention, and what it reads.</summary>
    /// <param name="Last">The node whose output is the attention's.</param>
    /// <param name="Others">The nodes before it.</param>
    /// <param name="Queries">[batch, queries, heads · head].</param>
    /// <param name="KeysValues">Keys and values side by side.</param>
    /// <param name="Bias">What is added to the scores.</param>
    /// <param name="Heads">How many heads.</param>
    public sealed record Found(NodeProto Last, IReadOnlyList<NodeProto> Others, string Queries, string KeysValues, string Bias, long Heads);
}
