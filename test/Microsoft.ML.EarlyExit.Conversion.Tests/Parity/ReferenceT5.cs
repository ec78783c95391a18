using Microsoft.ML.EarlyExit.Conversion.Graphs;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>
/// T5 in double precision and plain loops, straight from a checkpoint's tensors: what the graphs and the runtime are measured by. Only the buckets are the
/// library's own; they have a test of their own.
/// </summary>
internal sealed class ReferenceT5(TinyCheckpoint checkpoint)
{
    private readonly T5Configuration _configuration = checkpoint.Configuration;
    private readonly Dictionary<string, TinyTensor> _tensors = checkpoint.Tensors.ToDictionary(tensor => tensor.Name);

    /// <summary>[positions][d] after the final norm; ids where the mask is false are not attended to.</summary>
    public double[][] Encode(IReadOnlyList<int> ids, IReadOnlyList<bool> mask)
    {
        double[][] hidden = Embed(ids);
        for (int layer = 0; layer < _configuration.EncoderLayerCount; layer++)
        {
            double[][] normed = Norm(hidden, $"encoder.block.{layer}.layer.0.layer_norm.weight");
            hidden = Add(hidden, Attend(
                $"encoder.block.{layer}.layer.0.SelfAttention", normed, normed, (_, key) => mask[key], SelfBias("encoder", bidirectional: true)));
            hidden = FeedForward(hidden, $"encoder.block.{layer}.layer.1");
        }

        return Norm(hidden, "encoder.final_layer_norm.weight");
    }

    /// <summary>[L + 1][positions][d]: the embedding, then the residual stream after every block.</summary>
    public double[][][] Decode(double[][] encoded, IReadOnlyList<bool> mask, IReadOnlyList<int> ids)
    {
        var states = new List<double[][]> { Embed(ids) };
        for (int layer = 0; layer < _configuration.DecoderLayerCount; layer++)
        {
            double[][] hidden = states[^1];
            double[][] normed = Norm(hidden, $"decoder.block.{layer}.layer.0.layer_norm.weight");
            hidden = Add(hidden, Attend(
                $"decoder.block.{layer}.layer.0.SelfAttention", normed, normed, (query, key) => key <= query, SelfBias("decoder", bidirectional: false)));
            normed = Norm(hidden, $"decoder.block.{layer}.layer.1.layer_norm.weight");
            hidden = Add(hidden, Attend($"decoder.block.{layer}.layer.1.EncDecAttention", normed, encoded, (_, key) => mask[key], (_, _, _) => 0));
            states.Add(FeedForward(hidden, $"decoder.block.{layer}.layer.2"));
        }

        return [.. states];
    }

    /// <summary>The head's scores for one hidden state of any layer.</summary>
    public double[] Logits(double[] hidden)
    {
        double[] normed = Norm([hidden], "decoder.final_layer_norm.weight")[0];
        double scale = _configuration.ScaleDecoderOutputs ? Math.Pow(_configuration.ModelDimension, -0.5) : 1;
        return Multiply([.. normed.Select(value => value * scale)], _tensors.ContainsKey("lm_head.weight") ? "lm_head.weight" : "shared.weight");
    }

    private double[][] Embed(IReadOnlyList<int> ids)
    {
        int width = _configuration.ModelDimension;
        float[] table = _tensors["shared.weight"].Values;
        return [.. ids.Select(id => Enumerable.Range(0, width).Select(column => (double)table[(id * width) + column]).ToArray())];
    }

    private double[][] Norm(double[][] hidden, string weight)
    {
        float[] weights = _tensors[weight].Values;
        return [.. hidden.Select(row =>
        {
            double root = Math.Sqrt((row.Sum(value => value * value) / row.Length) + _configuration.LayerNormEpsilon);
            return row.Select((value, column) => value / root * weights[column]).ToArray();
        })];
    }

    private Func<int, int, int, double> SelfBias(string stack, bool bidirectional)
    {
        float[] table = _tensors[$"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].Values;
        return (head, query, key) =>
        {
            int bucket = RelativePositionBuckets.Bucket(
                key - query, bidirectional, _configuration.RelativeAttentionBucketCount, _configuration.RelativeAttentionMaxDistance);
            return table[(bucket * _configuration.HeadCount) + head];
        };
    }

    private double[][] Attend(string name, double[][] queriesOf, double[][] keysOf, Func<int, int, bool> isVisible, Func<int, int, int, double> bias)
    {
        int width = _configuration.KeyValueDimension;
        double[][] queries = [.. queriesOf.Select(row => Multiply(row, $"{name}.q.weight"))];
        double[][] keys = [.. keysOf.Select(row => Multiply(row, $"{name}.k.weight"))];
        double[][] values = [.. keysOf.Select(row => Multiply(row, $"{name}.v.weight"))];
        var results = new double[queries.Length][];
        for (int query = 0; query < queries.Length; query++)
        {
            double[] mixed = new double[_configuration.HeadCount * width];
            for (int head = 0; head < _configuration.HeadCount; head++)
            {
                double[] scores = new double[keys.Length];
                for (int key = 0; key < keys.Length; key++)
                {
                    scores[key] = isVisible(query, key) ? bias(head, query, key) : double.NegativeInfinity;
                    for (int column = head * width; column < (head + 1) * width; column++)
                        scores[key] += queries[query][column] * keys[key][column];
                }

                double largest = scores.Max();
                double sum = scores.Sum(score => Math.Exp(score - largest));
                for (int key = 0; key < keys.Length; key++)
                {
                    for (int column = head * width; column < (head + 1) * width; column++)
                        mixed[column] += Math.Exp(scores[key] - largest) / sum * values[key][column];
                }
            }

            results[query] = Multiply(mixed, $"{name}.o.weight");
        }

        return results;
    }

    private double[][] FeedForward(double[][] hidden, string layer)
    {
        double[][] normed = Norm(hidden, $"{layer}.layer_norm.weight");
        return Add(hidden, [.. normed.Select(row =>
        {
            double[] inner;
            if (_configuration.GatedFeedForward)
            {
                double[] gate = Multiply(row, $"{layer}.DenseReluDense.wi_0.weight");
                double[] linear = Multiply(row, $"{layer}.DenseReluDense.wi_1.weight");
                inner = [.. gate.Select((value, column) => Activate(value) * linear[column])];
            }
            else
            {
                inner = [.. Multiply(row, $"{layer}.DenseReluDense.wi.weight").Select(Activate)];
            }

            return Multiply(inner, $"{layer}.DenseReluDense.wo.weight");
        })]);
    }

    private double Activate(double value) => _configuration.Activation switch
    {
        T5Activation.Relu => Math.Max(value, 0),
        T5Activation.Silu => value / (1 + Math.Exp(-value)),
        _ => 0.5 * value * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (value + (0.044715 * value * value * value)))),
    };

    /// <summary>The weight [out, in] times a vector.</summary>
    private double[] Multiply(double[] vector, string weight)
    {
        TinyTensor tensor = _tensors[weight];
        Assert.Equal(tensor.Shape[1], vector.Length);
        double[] product = new double[tensor.Shape[0]];
        for (int row = 0; row < product.Length; row++)
        {
            for (int column = 0; column < vector.Length; column++)
                product[row] += (double)tensor.Values[(row * vector.Length) + column] * vector[column];
        }

        return product;
    }

    private static double[][] Add(double[][] left, double[][] right) => [.. left.Select((row, index) => row.Zip(right[index], (a, b) => a + b).ToArray())];
}
