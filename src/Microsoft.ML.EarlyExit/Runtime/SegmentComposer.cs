using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Chains decoder blocks into one graph: one session for blocks that always run together costs less than one each.</summary>
internal static class SegmentComposer
{
    private static readonly HashSet<string> s_shared =
    [
        GraphContract.SelfBias, GraphContract.SelfLengths, GraphContract.SelfCapacity, GraphContract.CrossBias, GraphContract.CrossLengths,
        GraphContract.CrossCapacity,
    ];

    /// <summary>The name, in the composed graph, of a cache of the block after which <paramref name="layer"/> blocks have run.</summary>
    public static string CacheName(string name, int layer) => $"{name}.{layer}";

    /// <summary>
    /// Composes checked blocks in order; the first is layer <paramref name="firstLayer"/>, counted from 1. The nodes that move rows are left out. What is
    /// packed takes one or more positions of each of some slots, one after the other: it has <see cref="AttentionOperator"/> for the attention, and neither
    /// caches nor biases among its inputs. Otherwise the attention stays as it is, for one slot, or for <see cref="DeviceGraph"/> to replace.
    /// </summary>
    public static ModelProto Compose(IReadOnlyList<ModelProto> blocks, int firstLayer, bool packed)
    {
        ModelProto composed = blocks[0].Clone();
        var graph = new GraphProto { Name = $"decoder_blocks_{firstLayer}_{firstLayer + blocks.Count - 1}" };
        composed.Graph = graph;
        string hidden = GraphContract.Hidden;
        var initializers = new HashSet<string>();
        for (int index = 0; index < blocks.Count; index++)
        {
            int layer = firstLayer + index;
            bool isLast = index == blocks.Count - 1;
            string hiddenOut = isLast ? GraphContract.HiddenOut : $"{GraphContract.HiddenOut}.{layer}";
            AddBlock(graph, blocks[index].Graph, layer, hidden, hiddenOut, packed, isFirst: index == 0, isLast, initializers);
            hidden = hiddenOut;
        }

        if (!packed)
            return composed;
        graph.Input.Add(new ValueInfoProto
        {
            Name = AttentionOperator.Job,
            Type = new TypeProto
            {
                TensorType = new TypeProto.Types.Tensor
                {
                    ElemType = (int)TensorProto.Types.DataType.Int64,
                    Shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimValue = 1 } } },
                },
            },
        });
        AttentionOperator.Import(composed);
        return composed;
    }

    private static void AddBlock(
        GraphProto graph, GraphProto block, int layer, string hidden, string hiddenOut, bool packed, bool isFirst, bool isLast,
        HashSet<string> initializers)
    {
        var names = new Dictionary<string, string> { [GraphContract.Hidden] = hidden, [GraphContract.HiddenOut] = hiddenOut, [""] = "" };
        foreach (string shared in s_shared)
            names[shared] = shared;
        foreach ((string past, string present) in GraphContract.Caches)
        {
            names[past] = CacheName(past, layer);
            names[present] = CacheName(present, layer);
        }

        foreach (TensorProto initializer in block.Initializer)
        {
            // Weights keep their names, under which the one copy in memory is given to every session.
            bool isWeight = initializer.DataLocation == TensorProto.Types.DataLocation.External;
            string name = isWeight ? initializer.Name : $"{layer}/{initializer.Name}";
            names[initializer.Name] = name;
            if (!initializers.Add(name))
                continue;
            TensorProto copy = initializer.Clone();
            copy.Name = name;
            graph.Initializer.Add(copy);
        }

        foreach (NodeProto node in block.Node)
        {
            bool movesRows = node.Name.EndsWith(GraphContract.RowSelectionSuffix, StringComparison.Ordinal) && node.Input.Count > 0 && node.Output.Count == 1;
            if (movesRows)
            {
                names[node.Output[0]] = Rename(node.Input[0]);
                continue;
            }

            if (packed && node.OpType == GraphContract.CachedAttention)
            {
                bool isCross = node.Input.Contains(GraphContract.CrossKeys);
                (string query, string attended) = (Rename(node.Input[0]), Rename(node.Output[0]));
                graph.Node.Add(AttentionOperator.Node($"{layer}/{node.Name}", query, attended, layer, isCross, out TensorProto which));
                graph.Initializer.Add(which);
                continue;
            }

            var copy = new NodeProto { Name = $"{layer}/{node.Name}", OpType = node.OpType, Domain = node.Domain };
            copy.Input.AddRange(node.Input.Select(Rename));
            copy.Output.AddRange(node.Output.Select(Rename));
            copy.Attribute.AddRange(node.Attribute);
            graph.Node.Add(copy);
        }

        foreach (ValueInfoProto input in block.Input)
        {
            bool isCache = GraphContract.Caches.Any(cache => cache.Past == input.Name);
            bool moves = input.Name is GraphContract.RowSlots or GraphContract.SlotRows;
            bool isKept = packed ? isFirst && input.Name == GraphContract.Hidden : isCache || (isFirst && !moves);
            if (isKept)
                AddValue(graph.Input, input);
        }

        foreach (ValueInfoProto output in block.Output)
        {
            if (output.Name == GraphContract.HiddenOut ? isLast : !packed)
                AddValue(graph.Output, output);
        }

        string Rename(string name)
        {
            if (!names.TryGetValue(name, out string? renamed))
                names[name] = renamed = $"{layer}/{name}";
            return renamed;
        }

        void AddValue(ICollection<ValueInfoProto> values, ValueInfoProto value)
        {
            ValueInfoProto copy = value.Clone();
            copy.Name = Rename(value.Name);
            values.Add(copy);
        }
    }
}
