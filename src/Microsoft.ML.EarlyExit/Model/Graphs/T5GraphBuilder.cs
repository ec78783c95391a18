using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using static Microsoft.ML.EarlyExit.Model.Graphs.GraphBuilder;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Graphs;

/// <summary>The graphs of a T5 bundle, to the contract of <see cref="GraphContract"/>.</summary>
internal sealed class T5GraphBuilder(T5Configuration configuration, IReadOnlyDictionary<string, BundleTensor> weights, string weightsFile)
{
    private readonly int _width = configuration.ModelDimension;
    private readonly int _heads = configuration.HeadCount;
    private readonly int _headWidth = GraphContract.GraphHeadDimension(configuration.KeyValueDimension);

    private int Inner => _heads * _headWidth;

    /// <summary>Token ids and mask → hidden states after the encoder's final norm. Standard operators only.</summary>
    public ModelProto Encoder()
    {
        GraphBuilder graph = NewGraph("encoder");
        AddEncoder(
            graph,
            graph.Input(GraphContract.InputIds, DataType.Int64, "batch", "sequence"),
            graph.Input(GraphContract.AttentionMask, DataType.Int64, "batch", "sequence"));
        graph.Output(GraphContract.EncoderOutput, "batch", "sequence", _width);
        return graph.Build();
    }

    /// <summary>All decoder layers over a whole target: every layer's hidden state. Standard operators only.</summary>
    public ModelProto TeacherForcedDecoder()
    {
        GraphBuilder graph = NewGraph("decoder_teacher_forced");
        string ids = graph.Input(GraphContract.DecoderInputIds, DataType.Int64, "batch", "target");
        string encoded = graph.Input(GraphContract.EncoderOutput, DataType.Float, "batch", "sequence", _width);
        AddTeacherForcedDecoder(graph, ids, encoded, graph.Input(GraphContract.EncoderAttentionMask, DataType.Int64, "batch", "sequence"));
        return graph.Build();
    }

    /// <summary>Encoder and teacher-forced decoder in one, with every layer's hidden state and likeliest ids. Standard operators only.</summary>
    /// <param name="head">The name of the LM head's tensor.</param>
    public ModelProto LayerScoring(string head)
    {
        GraphBuilder graph = NewGraph("layer_scoring");
        string ids = graph.Input(GraphContract.InputIds, DataType.Int64, "batch", "sequence");
        string mask = graph.Input(GraphContract.AttentionMask, DataType.Int64, "batch", "sequence");
        string target = graph.Input(GraphContract.DecoderInputIds, DataType.Int64, "batch", "target");
        AddTeacherForcedDecoder(graph, target, AddEncoder(graph, ids, mask), mask);
        for (int layer = 1; layer <= configuration.DecoderLayerCount; layer++)
        {
            string normed = graph.Node(
                $"head_{layer}.rms", "RMSNormalization", [GraphContract.HiddenStates(layer), graph.Weight(T5TensorNames.DecoderFinalNorm)],
                Attribute("axis", -1L), Attribute("epsilon", configuration.LayerNormEpsilon));

            // Transpose the activations [T, d], not the head [V, d]. The head's scale, above 0, changes no arg max.
            string turned = graph.Node($"head_{layer}.turned", "Transpose", [normed], Attribute("perm", 0L, 2L, 1L));
            string logits = graph.Node($"head_{layer}.logits", "MatMul", [graph.Weight(head), turned]);
            graph.Node($"argmax_{layer}", "ArgMax", [logits], Attribute("axis", 1L), Attribute("keepdims", 0L));
            graph.Output($"argmax_{layer}", DataType.Int64, "batch", "target");
        }

        return graph.Build();
    }

    /// <summary>Decoder block <paramref name="layer"/>, counted from 0, over caches that are updated in place.</summary>
    public ModelProto DecoderBlock(int layer)
    {
        string at = $"decoder.{layer}";
        GraphBuilder graph = NewGraph($"decoder_block_{layer + 1}");
        string hidden = graph.Input(GraphContract.Hidden, DataType.Float, "rows", "positions", _width);
        string rowSlots = graph.Input(GraphContract.RowSlots, DataType.Int64, "rows");
        string slotRows = graph.Input(GraphContract.SlotRows, DataType.Int64, "slots");

        string normed = Norm(graph, $"{at}.self.norm", hidden);
        string packed = graph.Node(
            $"{at}.self.qkv", "Concat", [MatMul(graph, $"{at}.self.q", normed), MatMul(graph, $"{at}.self.kv", normed)], Attribute("axis", -1L));
        packed = SelectRows(graph, $"{at}.self.to_slots", packed, slotRows);
        hidden = CachedAttention(
            graph, $"{at}.self", hidden, packed, "", "", rowSlots, GraphContract.SelfLengths, GraphContract.SelfCapacity,
            (GraphContract.SelfKeys, GraphContract.PresentSelfKeys), (GraphContract.SelfValues, GraphContract.PresentSelfValues),
            GraphContract.SelfBias, _heads);

        normed = Norm(graph, $"{at}.cross.norm", hidden);
        string query = SelectRows(graph, $"{at}.cross.to_slots", MatMul(graph, $"{at}.cross.q", normed), slotRows);
        // The kernel always appends a key; the query stands in for it and the bias masks it.
        hidden = CachedAttention(
            graph, $"{at}.cross", hidden, query, query, query, rowSlots, GraphContract.CrossLengths, GraphContract.CrossCapacity,
            (GraphContract.CrossKeys, GraphContract.PresentCrossKeys), (GraphContract.CrossValues, GraphContract.PresentCrossValues),
            GraphContract.CrossBias, 1);

        FeedForward(graph, $"{at}.ff", hidden, GraphContract.HiddenOut);
        graph.Output(GraphContract.HiddenOut, "rows", "positions", _width);
        foreach ((string past, string present) in GraphContract.Caches)
        {
            string capacity = past.StartsWith("self", StringComparison.Ordinal) ? GraphContract.SelfCapacity : GraphContract.CrossCapacity;
            graph.Output(present, "slots", _heads, capacity, _headWidth);
        }

        return graph.Build();
    }

    /// <summary>Self-attention keys and values of a hidden state, for state copying.</summary>
    public ModelProto StateKeysValues(int layer)
    {
        GraphBuilder graph = NewGraph($"decoder_state_keys_values_{layer + 1}");
        string hidden = graph.Input(GraphContract.Hidden, DataType.Float, "positions", _width);
        return KeysValues(graph, $"decoder.{layer}.self.kv", Norm(graph, $"decoder.{layer}.self.norm", hidden));
    }

    /// <summary>Cross-attention keys and values of the encoder's output.</summary>
    public ModelProto CrossKeysValues(int layer)
    {
        GraphBuilder graph = NewGraph($"decoder_cross_keys_values_{layer + 1}");
        return KeysValues(graph, $"decoder.{layer}.cross.kv", graph.Input(GraphContract.Hidden, DataType.Float, "positions", _width));
    }

    private string AddEncoder(GraphBuilder graph, string ids, string mask)
    {
        string hidden = graph.WeightRows("embed", T5TensorNames.Embedding, ids, "embed");
        string bias = graph.Node(
            "bias", "Add",
            [RelativeBias(graph, "encoder_bias", ids, T5TensorNames.EncoderRelativeBias, bidirectional: true), KeyMask(graph, "key_mask", mask)]);
        for (int layer = 0; layer < configuration.EncoderLayerCount; layer++)
        {
            string at = $"encoder.{layer}";
            string normed = Norm(graph, $"{at}.self.norm", hidden);
            string keysValues = MatMul(graph, $"{at}.self.kv", normed);
            hidden = Attention(graph, $"{at}.self", hidden, normed, keysValues, bias);
            hidden = FeedForward(graph, $"{at}.ff", hidden);
        }

        return graph.Node("output", "Identity", [Norm(graph, T5TensorNames.EncoderFinalNorm, hidden)], [GraphContract.EncoderOutput], "")[0];
    }

    private void AddTeacherForcedDecoder(GraphBuilder graph, string ids, string encoded, string mask)
    {
        string crossBias = KeyMask(graph, "cross_mask", mask);
        string selfBias = RelativeBias(graph, "decoder_bias", ids, T5TensorNames.DecoderRelativeBias, bidirectional: false);
        string hidden = graph.WeightRows("decoder_embed", T5TensorNames.Embedding, ids, GraphContract.HiddenStates(0));
        graph.Output(hidden, "batch", "target", _width);
        for (int layer = 0; layer < configuration.DecoderLayerCount; layer++)
        {
            string at = $"decoder.{layer}";
            string normed = Norm(graph, $"{at}.self.norm", hidden);
            hidden = Attention(graph, $"{at}.self", hidden, normed, MatMul(graph, $"{at}.self.kv", normed), selfBias);
            normed = Norm(graph, $"{at}.cross.norm", hidden);
            hidden = Attention(graph, $"{at}.cross", hidden, normed, MatMul(graph, $"{at}.cross.kv", encoded), crossBias);
            hidden = FeedForward(graph, $"{at}.ff", hidden, GraphContract.HiddenStates(layer + 1));
            graph.Output(hidden, "batch", "target", _width);
        }
    }

    private GraphBuilder NewGraph(string name) => new(name, weights, weightsFile);

    private ModelProto KeysValues(GraphBuilder graph, string weight, string hidden)
    {
        graph.Node(weight + "/matmul", "MatMul", [hidden, graph.Weight(weight)], [GraphContract.KeysValues], "");
        graph.Output(GraphContract.KeysValues, "positions", 2 * Inner);
        return graph.Build();
    }

    private string Norm(GraphBuilder graph, string weight, string hidden) => graph.Node(
        weight + "/rms", "RMSNormalization", [hidden, graph.Weight(weight)], Attribute("axis", -1L), Attribute("epsilon", configuration.LayerNormEpsilon));

    private static string MatMul(GraphBuilder graph, string weight, string input) => graph.Node(weight + "/matmul", "MatMul", [input, graph.Weight(weight)]);

    private static string SelectRows(GraphBuilder graph, string name, string value, string indices) =>
        graph.Node(name + GraphContract.RowSelectionSuffix, "Gather", [value, indices], Attribute("axis", 0L));

    private string CachedAttention(
        GraphBuilder graph, string at, string residual, string query, string key, string value, string rowSlots, string lengths, string capacity,
        (string Past, string Present) keys, (string Past, string Present) values, string bias, int biasHeads)
    {
        graph.Input(lengths, DataType.Int32, "slots");
        graph.Input(capacity, DataType.Int32);
        graph.Input(bias, DataType.Float, "slots", biasHeads, "positions", capacity);
        graph.Input(keys.Past, DataType.Float, "slots", _heads, capacity, _headWidth);
        graph.Input(values.Past, DataType.Float, "slots", _heads, capacity, _headWidth);
        string attended = graph.Node(
            $"{at}.attention", GraphContract.CachedAttention,
            [query, key, value, keys.Past, values.Past, lengths, capacity, "", "", "", bias],
            [$"{at}.attention", keys.Present, values.Present], GraphContract.ContribDomain,
            Attribute("num_heads", (long)_heads), Attribute("kv_num_heads", (long)_heads), Attribute("scale", 1f))[0];
        string rows = SelectRows(graph, $"{at}.to_rows", attended, rowSlots);
        return graph.Node($"{at}.residual", "Add", [MatMul(graph, $"{at}.o", rows), residual]);
    }

    /// <summary>Attention in standard operators: queries from <paramref name="normed"/>, keys and values given side by side.</summary>
    private string Attention(GraphBuilder graph, string at, string residual, string normed, string keysValues, string bias)
    {
        string query = Heads(graph, $"{at}.query", MatMul(graph, $"{at}.q", normed), transposed: false);
        string[] parts = graph.Node($"{at}.split", "Split", [keysValues], [$"{at}.k", $"{at}.v"], "", Attribute("axis", -1L), Attribute("num_outputs", 2L));
        string keys = Heads(graph, $"{at}.keys", parts[0], transposed: true);
        string values = Heads(graph, $"{at}.values", parts[1], transposed: false);
        string scores = graph.Node($"{at}.biased", "Add", [graph.Node($"{at}.scores", "MatMul", [query, keys]), bias]);
        string mixed = graph.Node($"{at}.mixed", "MatMul", [graph.Node($"{at}.probabilities", "Softmax", [scores], Attribute("axis", -1L)), values]);
        string joined = graph.Node(
            $"{at}.joined", "Reshape",
            [graph.Node($"{at}.by_position", "Transpose", [mixed], Attribute("perm", 0L, 2L, 1L, 3L)), graph.Constant("inner_shape", [0L, 0L, Inner])]);
        return graph.Node($"{at}.residual", "Add", [MatMul(graph, $"{at}.o", joined), residual]);
    }

    /// <summary>[batch, positions, inner] → [batch, heads, positions, head], or with the last two the other way round.</summary>
    private string Heads(GraphBuilder graph, string name, string value, bool transposed)
    {
        string split = graph.Node(name + "/split", "Reshape", [value, graph.Constant("heads_shape", [0L, 0L, _heads, _headWidth])]);
        return graph.Node(name, "Transpose", [split], transposed ? Attribute("perm", 0L, 2L, 3L, 1L) : Attribute("perm", 0L, 2L, 1L, 3L));
    }

    private string FeedForward(GraphBuilder graph, string at, string hidden, string? output = null)
    {
        string normed = Norm(graph, $"{at}.norm", hidden);
        string inner = Activate(graph, at, MatMul(graph, configuration.GatedFeedForward ? $"{at}.wi_0" : $"{at}.wi", normed));
        if (configuration.GatedFeedForward)
            inner = graph.Node($"{at}.gated", "Mul", [inner, MatMul(graph, $"{at}.wi_1", normed)]);
        return graph.Node($"{at}.residual", "Add", [MatMul(graph, $"{at}.wo", inner), hidden], [output ?? $"{at}.residual"], "")[0];
    }

    private string Activate(GraphBuilder graph, string at, string value) => configuration.Activation switch
    {
        T5Activation.Relu => graph.Node($"{at}.relu", "Relu", [value]),
        T5Activation.GeluTanh => graph.Node($"{at}.gelu", "Gelu", [value], Attribute("approximate", "tanh")),
        T5Activation.Silu => graph.Node($"{at}.silu", "Mul", [value, graph.Node($"{at}.sigmoid", "Sigmoid", [value])]),
        _ => throw new NotSupportedException($"Activation {configuration.Activation} has no graph."),
    };

    /// <summary>0 where the mask is 1 and far below any score where it is 0: [batch, 1, 1, sequence].</summary>
    private static string KeyMask(GraphBuilder graph, string name, string mask)
    {
        string kept = graph.Node(
            $"{name}.kept", "Cast", [graph.Node($"{name}.axes", "Unsqueeze", [mask, graph.Constant("mask_axes", [1L, 2L])])], Attribute("to", 1L));
        string dropped = graph.Node($"{name}.dropped", "Sub", [graph.Constant("one", 1f), kept]);
        return graph.Node(name, "Mul", [dropped, graph.Constant("masked", GraphContract.Masked)]);
    }

    /// <summary>The bias of key k for query q from a table over distances: [1, heads, positions, positions]; causal where one-directional.</summary>
    private string RelativeBias(GraphBuilder graph, string name, string ids, string table, bool bidirectional)
    {
        string length = graph.Node(
            $"{name}.length", "Gather",
            [graph.Node($"{name}.shape", "Shape", [ids]), graph.Constant("sequence_axis", [1L], scalar: true)], Attribute("axis", 0L));
        string positions = graph.Node(
            $"{name}.positions", "Range", [graph.Constant("zero", [0L], scalar: true), length, graph.Constant("step", [1L], scalar: true)]);
        string queries = graph.Node($"{name}.queries", "Unsqueeze", [positions, graph.Constant("query_axis", [1L])]);
        string keys = graph.Node($"{name}.keys", "Unsqueeze", [positions, graph.Constant("key_axis", [0L])]);

        // A bidirectional table is centred: row `reach` is distance 0, keys after the query come after it.
        int rows = weights[table].Shape[0];
        int reach = bidirectional ? rows / 2 : rows - 1;
        string distance = bidirectional
            ? graph.Node($"{name}.distance", "Sub", [keys, queries])
            : graph.Node($"{name}.distance", "Sub", [queries, keys]);
        string clipped = graph.Node(
            $"{name}.clipped", "Clip",
            [distance, graph.Constant($"{name}.least", [bidirectional ? -reach : 0L], scalar: true), graph.Constant($"{name}.most", [reach], scalar: true)]);
        string index = bidirectional ? graph.Node($"{name}.index", "Add", [clipped, graph.Constant($"{name}.centre", [reach], scalar: true)]) : clipped;
        string byHead = graph.Node(
            $"{name}.by_head", "Transpose",
            [graph.Node($"{name}.rows", "Gather", [graph.Weight(table), index], Attribute("axis", 0L))], Attribute("perm", 2L, 0L, 1L));
        string biased = graph.Node($"{name}.all", "Unsqueeze", [byHead, graph.Constant("batch_axis", [0L])]);
        if (bidirectional)
            return biased;

        string future = graph.Node($"{name}.future", "Less", [distance, graph.Constant("zero", [0L], scalar: true)]);
        return graph.Node($"{name}.causal", "Where", [future, graph.Constant("masked", GraphContract.Masked), biased]);
    }
}
