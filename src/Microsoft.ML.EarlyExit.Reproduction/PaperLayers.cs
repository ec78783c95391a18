namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The decoder layers that the paper's experiments name, of T5-large's 24, and what they are in a model of another depth.</summary>
internal static class PaperLayers
{
    /// <summary>Decoder layers of the paper's model.</summary>
    public const int Depth = 24;

    /// <summary>The minimum layer of figures 4, 5, 8 and 9 for the model that is not fine-tuned.</summary>
    public const int PreTrained = 7;

    /// <summary>The minimum layer of figures 4, 5, 8 and 9 for the fine-tuned models.</summary>
    public const int FineTuned = 2;

    /// <summary>The minimum layer that the text names for figures 8 and 9.</summary>
    public const int Late = 19;

    /// <summary>The minimum layers that table 1 is a mean over.</summary>
    public static IReadOnlyList<int> Table1 { get; } = [15, 17, 18, 19, 20];

    /// <summary>The minimum layers of figures 6, 7 and 10 to 13 unless others are asked for: those that the paper's text names, and some between them, for it
    /// does not list the figures' own.</summary>
    public static IReadOnlyList<int> Curves { get; } = [2, 4, 7, 10, 12, 15, 17, 18, 19, 20, 22];

    /// <summary>The layer of a model that stands for one of the paper's: layer · depth / 24, halves rounded up, from 1 to depth - 1.</summary>
    /// <param name="layer">The paper's layer, 1 to 24.</param>
    /// <param name="depth">Decoder layers of the model, at least 2.</param>
    public static int Scale(int layer, int depth) => Math.Clamp(((2 * layer * depth) + Depth) / (2 * Depth), 1, depth - 1);

    /// <summary>The layers that stand for several of the paper's, each once, in ascending order.</summary>
    public static IReadOnlyList<int> Scale(IEnumerable<int> layers, int depth) => [.. layers.Select(layer => Scale(layer, depth)).Distinct().Order()];
}
