using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>
/// The numbers that rows add up to, and the figures made of them. All figures are functions of sums, so that rows need not be kept, and a bootstrap sample is
/// another set of sums.
/// </summary>
internal static class EvaluationTotals
{
    public const int Rows = 0;
    public const int Rouge = 1;
    public const int ExactMatch = Rouge + 12;
    public const int F1 = ExactMatch + 1;
    public const int Bleu = F1 + 1;
    public const int Chrf = Bleu + BleuScorer.StatisticCount;
    public const int Agreement = Chrf + ChrfScorer.LargestStatisticCount;
    public const int ExitLayers = Agreement + 3;
    public const int Tokens = ExitLayers + 1;
    public const int Operations = Tokens + 1;
    public const int Count = Operations + 5;

    private static readonly string[] s_rougeNames = ["Rouge1", "Rouge2", "RougeL", "RougeLsum"];
    private static readonly string[] s_rougeParts = ["Precision", "Recall", "FMeasure"];
    private static readonly string[] s_operationNames = ["Decoder", "StatePropagation", "Confidence", "Head", "Paper"];

    /// <summary>Every figure that is asked for: its path from <see cref="TextGenerationMetrics"/>, and how it is made of the sums.</summary>
    public static IEnumerable<(string Name, Func<double[], double> Compute)> Figures(RowScorer scorer)
    {
        if (scorer.Has(EvaluationMetrics.Rouge))
        {
            for (int index = 0; index < 12; index++)
            {
                int at = Rouge + index;
                yield return ($"Rouge.{s_rougeNames[index / 3]}.{s_rougeParts[index % 3]}", sums => Mean(sums, at));
            }
        }

        if (scorer.Has(EvaluationMetrics.Squad))
        {
            yield return ("ExactMatch", sums => Percent(sums, ExactMatch));
            yield return ("F1", sums => Percent(sums, F1));
        }

        if (scorer.Has(EvaluationMetrics.Bleu))
            yield return ("Bleu.Score", sums => sums[Rows] == 0 ? double.NaN : BleuScorer.Score(Whole(sums, Bleu, stackalloc long[BleuScorer.StatisticCount])));
        if (scorer.Has(EvaluationMetrics.Chrf))
            yield return ("Chrf.Score", sums => sums[Rows] == 0 ? double.NaN : ChrfScorer.Score(Whole(sums, Chrf, stackalloc long[scorer.ChrfStatisticCount])));
        if (scorer.HasFullDepth)
        {
            yield return ("Agreement.Exact", sums => Mean(sums, Agreement));
            yield return ("Agreement.RougeL", sums => Mean(sums, Agreement + 1));
            yield return ("Agreement.F1", sums => Mean(sums, Agreement + 2));
        }

        if (scorer.HasExitLayers)
            yield return ("Exits.MeanExitLayer", MeanExitLayer);
        if (scorer.HasOperations)
        {
            for (int index = 0; index < s_operationNames.Length; index++)
            {
                int at = Operations + index;
                yield return ($"Operations.{s_operationNames[index]}", sums => Mean(sums, at));
            }
        }
    }

    public static double Mean(ReadOnlySpan<double> sums, int at) => sums[at] / sums[Rows];

    // As SQuAD's script has it: the product first.
    public static double Percent(ReadOnlySpan<double> sums, int at) => 100.0 * sums[at] / sums[Rows];

    public static double MeanExitLayer(double[] sums) => sums[ExitLayers] / sums[Tokens];

    public static BleuScore BleuOf(double[] sums, RowScorer scorer, int? referenceCount) =>
        BleuScorer.Score(Whole(sums, Bleu, stackalloc long[BleuScorer.StatisticCount]), referenceCount, scorer.BleuTokenizer, scorer.BleuLowercase);

    public static ChrfScore ChrfOf(double[] sums, RowScorer scorer, int? referenceCount) =>
        ChrfScorer.Score(Whole(sums, Chrf, stackalloc long[scorer.ChrfStatisticCount]), referenceCount);

    public static RougeScores RougeOf(double[] sums)
    {
        return new RougeScores(At(0), At(3), At(6), At(9));

        RougeScore At(int index) => new(Mean(sums, Rouge + index), Mean(sums, Rouge + index + 1), Mean(sums, Rouge + index + 2));
    }

    public static MeanOperationCounts OperationsOf(double[] sums) => new(
        Mean(sums, Operations), Mean(sums, Operations + 1), Mean(sums, Operations + 2), Mean(sums, Operations + 3), Mean(sums, Operations + 4));

    private static Span<long> Whole(ReadOnlySpan<double> sums, int at, Span<long> statistics)
    {
        TensorPrimitives.ConvertSaturating(sums.Slice(at, statistics.Length), statistics);
        return statistics;
    }
}
