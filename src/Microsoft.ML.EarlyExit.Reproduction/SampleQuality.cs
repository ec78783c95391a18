using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The task's metrics of one output, in percent.</summary>
internal static class SampleQuality
{
    private static readonly RougeScorer s_rouge = new();

    /// <summary>The metrics' names; the first is the one the paper reports.</summary>
    public static IReadOnlyList<string> MetricNames(bool areAnswers) => areAnswers ? ["F1", "exact match"] : ["ROUGE-L", "ROUGE-1", "ROUGE-2"];

    /// <summary>The metrics of an output, in the order of their names.</summary>
    public static IReadOnlyList<double> Score(string text, DataSetExample example)
    {
        string[] references = [.. example.References];
        if (example.AreAnswers)
        {
            SquadScore squad = SquadScorer.Score(text, references);
            return [100 * squad.F1, 100 * squad.ExactMatch];
        }

        RougeScores rouge = s_rouge.Score(text, references);
        return [100 * rouge.RougeL.FMeasure, 100 * rouge.Rouge1.FMeasure, 100 * rouge.Rouge2.FMeasure];
    }
}
