namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Every confidence measure, with options that make a difference, by name.</summary>
internal static class Measures
{
    private static readonly Dictionary<string, Func<T5Configuration, Confidence>> s_measures = new()
    {
        ["softmaxMargin"] = _ => Confidence.SoftmaxMargin,
        ["hiddenStateSaturation"] = _ => Confidence.HiddenStateSaturation,
        ["classifier"] = sizes => Confidence.Classifier([Weights(sizes, 0)], [0.25f]),
        ["classifier of every layer"] = sizes => Confidence.Classifier(
            [.. Enumerable.Range(1, sizes.DecoderLayerCount).Select(layer => Weights(sizes, layer))], [.. Enumerable.Repeat(0.1f, sizes.DecoderLayerCount)]),
        ["weightedContrastive"] = _ => Confidence.WeightedContrastive(),
        ["weightedContrastive, head weight one"] = _ => Confidence.WeightedContrastive(
            new ContrastiveOptions { PlausibleSetWeight = PlausibleSetWeight.One, Alpha = 0.01f }),
        ["jsdContrastive"] = _ => Confidence.JsdContrastive(),
        ["jsdContrastive, all amateurs"] = _ => Confidence.JsdContrastive(
            new ContrastiveOptions { AmateursBelowMinimumLayer = true, PlausibleSetWeight = PlausibleSetWeight.Mass }),
        ["jsdContrastive, hyperbolic"] = _ => Confidence.JsdContrastive(
            new ContrastiveOptions { DecayRate = 0.3f, Token = ContrastiveToken.Contrastive }),
    };

    public static TheoryData<string> Names => [.. s_measures.Keys];

    public static Confidence Create(string name, T5Configuration sizes) => s_measures[name](sizes);

    private static float[] Weights(T5Configuration sizes, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, sizes.ModelDimension).Select(_ => (random.NextSingle() - 0.5f) / 10)];
    }
}
