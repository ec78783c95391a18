using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>What the report is made of: the settings, the plans, and the cells that are finished.</summary>
/// <param name="Settings">The settings.</param>
/// <param name="Format">The data's form.</param>
/// <param name="Plans">The models' plans, in their order.</param>
/// <param name="Cells">The finished cells by model and name.</param>
/// <param name="Command">The command line, without paths of the machine.</param>
internal sealed record ReportData(
    ReproductionSettings Settings, DataSetFormat Format, IReadOnlyList<ReproductionPlan> Plans,
    IReadOnlyDictionary<(string Model, string Name), CellRecord> Cells, string Command)
{
    /// <summary>The models' name that stands for the paper's fine-tuned ones, and the one for those that are not.</summary>
    public const string FineTuned = "fine-tuned";
    public const string PreTrained = "pre-trained";

    public bool AreAnswers => Settings.Data.Task == "answers";

    public IReadOnlyList<string> Metrics => SampleQuality.MetricNames(AreAnswers);

    /// <summary>The task's own metric.</summary>
    public string Metric => Metrics[0];

    public PublishedNumbers? Published => PublishedNumbers.For(Format);

    public int PlannedCells => Plans.Sum(plan => plan.Cells.Count);

    public CellRecord? Find(ReproductionPlan plan, string name) => Cells.GetValueOrDefault((plan.Model, name));

    /// <summary>A figure's number in the paper: its figures come in pairs, answers first.</summary>
    public string Number(int ofAnswers) => (AreAnswers ? ofAnswers : ofAnswers + 1).ToString("D2");

    /// <summary>Whether a model may be set beside the paper's fine-tuned or its other one: its name says which, and where it does not both are shown.</summary>
    public static bool StandsFor(string model, bool isFineTuned) => model != (isFineTuned ? PreTrained : FineTuned);

    /// <summary>A measure in words.</summary>
    public static string Words(string measure) => measure switch
    {
        "softmax" => "softmax",
        "weighted" => "weighted contrastive",
        "jsd" => "JSD contrastive",
        _ => throw new ArgumentOutOfRangeException(nameof(measure), measure, "The plan has no such measure."),
    };
}
