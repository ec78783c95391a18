using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>A matrix of a layer, as the graphs have it: heads are filled up to the width that the attention kernel takes.</summary>
internal readonly record struct LayerMatrix(string Name, int Outputs, int Inputs)
{
    /// <summary>All of a model, in the order of the weights file.</summary>
    public static IEnumerable<LayerMatrix> All(T5Configuration configuration) =>
        Stack("encoder", configuration.EncoderLayerCount, ["self"], configuration)
            .Concat(Stack("decoder", configuration.DecoderLayerCount, ["self", "cross"], configuration));

    private static IEnumerable<LayerMatrix> Stack(string stack, int layers, string[] attentions, T5Configuration configuration)
    {
        int width = configuration.ModelDimension;
        int inner = configuration.HeadCount * GraphContract.GraphHeadDimension(configuration.KeyValueDimension);
        int feedForward = configuration.FeedForwardDimension;
        for (int layer = 0; layer < layers; layer++)
        {
            foreach (string attention in attentions)
            {
                yield return new($"{stack}.{layer}.{attention}.q", inner, width);
                yield return new($"{stack}.{layer}.{attention}.kv", 2 * inner, width);
                yield return new($"{stack}.{layer}.{attention}.o", width, inner);
            }

            foreach (string part in configuration.GatedFeedForward ? ["wi_0", "wi_1"] : (string[])["wi"])
            {
                yield return new($"{stack}.{layer}.ff.{part}", feedForward, width);
            }

            yield return new($"{stack}.{layer}.ff.wo", width, feedForward);
        }
    }
}
