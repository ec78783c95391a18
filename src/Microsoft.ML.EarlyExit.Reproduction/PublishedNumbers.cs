using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The numbers that the paper publishes for one data set: its figures 4, 5 and 8 as bar charts, its table 1, and its text. All with
/// T5-large.</summary>
/// <param name="DataSet">The data set.</param>
/// <param name="Metric">What quality is.</param>
/// <param name="Softmax">Softmax with threshold 0.9, for both models.</param>
/// <param name="Table1">JSD with pruning, the mean over minimum layers 15, 17, 18, 19 and 20, on 100 samples.</param>
/// <param name="Late">Minimum layer 19, on 100 samples; empty where nothing is published.</param>
internal sealed record PublishedNumbers(
    string DataSet, string Metric, IReadOnlyList<PublishedNumbers.Bars> Softmax, IReadOnlyList<PublishedNumbers.MeanExit> Table1,
    IReadOnlyList<PublishedNumbers.Comparison> Late)
{
    /// <summary>Where the numbers come from.</summary>
    public const string Source = "https://github.com/joanvelja/Confidently_Exiting (the paper's figures 4, 5, 8 and 9, its table 1 and its text)";

    /// <summary>The prunings of <see cref="Bars"/>, in its order.</summary>
    public static IReadOnlyList<string> Prunings { get; } = ["none", "fixed", "decaying"];

    public static PublishedNumbers Squad { get; } = new(
        "SQuAD",
        "F1",
        [
            new(false, PaperLayers.PreTrained, [90.43, 90.29, 87.14], [1.60e12, 3.99e10, 2.17e10]),
            new(true, PaperLayers.FineTuned, [89.71, 89.71, 86.60], [1.93e11, 5.22e9, 2.42e9]),
        ],
        [new("fixed", 19.36, 94.18), new("decaying", 19.45, 93.03), new("adaptive", 19.31, 94.19)],
        [new("softmax", 96.27, 3.78e11, "fixed", 1.71e9), new("jsd", 98.12, 2.15e11, "adaptive", 8.72e8)]);

    public static PublishedNumbers SamSum { get; } = new(
        "SamSum",
        "ROUGE-L",
        [
            new(false, PaperLayers.PreTrained, [23.16, 22.95, 22.66], [2.05e13, 4.93e11, 2.76e11]),
            new(true, PaperLayers.FineTuned, [42.76, 42.79, 41.64], [1.18e13, 6.44e11, 2.25e11]),
        ],
        [new("fixed", 21.02, 22.12), new("decaying", 19.82, 21.71), new("adaptive", 19.78, 21.82)],
        []);

    /// <summary>The numbers for a data set; null where the paper has none.</summary>
    public static PublishedNumbers? For(DataSetFormat format) => format switch
    {
        DataSetFormat.Squad => Squad,
        DataSetFormat.SamSum => SamSum,
        _ => null,
    };

    /// <summary>One model's bars of figure 4 or 5.</summary>
    /// <param name="IsFineTuned">Whether it is the fine-tuned model.</param>
    /// <param name="MinimumLayer">The minimum layer, of 24.</param>
    /// <param name="Quality">Percent, for <see cref="Prunings"/>.</param>
    /// <param name="Operations">FLOPs of the confidence products per sample, as the published code counts them, for <see cref="Prunings"/>.</param>
    internal sealed record Bars(bool IsFineTuned, int MinimumLayer, IReadOnlyList<double> Quality, IReadOnlyList<double> Operations)
    {
        public string Model => IsFineTuned ? "fine-tuned" : "pre-trained";
    }

    /// <summary>One column of table 1.</summary>
    internal sealed record MeanExit(string Pruning, double ExitLayer, double Quality);

    /// <summary>One measure at minimum layer 19. The text gives one quality for a measure, without saying of which pruning.</summary>
    internal sealed record Comparison(string Measure, double Quality, double Unpruned, string Pruning, double Pruned);
}
