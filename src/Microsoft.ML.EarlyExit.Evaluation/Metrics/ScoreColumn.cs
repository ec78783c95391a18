using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>A column of rows' scores: a number, or a vector of numbers with names.</summary>
/// <param name="Name">The column.</param>
/// <param name="SlotNames">The names of a vector's numbers; none for a single number.</param>
/// <param name="Write">Writes a row's numbers.</param>
internal sealed record ScoreColumn(string Name, IReadOnlyList<string> SlotNames, ScoreColumn.Writer Write)
{
    /// <summary>Writes a row's numbers.</summary>
    internal delegate void Writer(in RowScores scores, Span<double> numbers);

    private static readonly string[] s_rougeParts = ["Precision", "Recall", "FMeasure"];

    public DataViewType Type => SlotNames.Count == 0 ? NumberDataViewType.Double : new VectorDataViewType(NumberDataViewType.Double, SlotNames.Count);

    /// <summary>The columns of what a scorer computes.</summary>
    public static IEnumerable<ScoreColumn> Of(RowScorer scorer)
    {
        if (scorer.Has(EvaluationMetrics.Rouge))
        {
            yield return Rouge("Rouge1", (in RowScores scores) => scores.Rouge.Rouge1);
            yield return Rouge("Rouge2", (in RowScores scores) => scores.Rouge.Rouge2);
            yield return Rouge("RougeL", (in RowScores scores) => scores.Rouge.RougeL);
            yield return Rouge("RougeLsum", (in RowScores scores) => scores.Rouge.RougeLsum);
        }

        if (scorer.Has(EvaluationMetrics.Squad))
        {
            yield return Number("ExactMatch", (in RowScores scores) => scores.Squad.ExactMatch);
            yield return Number("F1", (in RowScores scores) => scores.Squad.F1);
        }

        if (scorer.HasFullDepth)
        {
            yield return Number("AgreementExact", (in RowScores scores) => scores.AgreementExact);
            yield return Number("AgreementRougeL", (in RowScores scores) => scores.AgreementRougeL);
            yield return Number("AgreementF1", (in RowScores scores) => scores.AgreementF1);
        }
    }

    private static ScoreColumn Rouge(string name, Reader<RougeScore> read) => new(name, s_rougeParts, (in RowScores scores, Span<double> numbers) =>
    {
        RougeScore score = read(scores);
        (numbers[0], numbers[1], numbers[2]) = (score.Precision, score.Recall, score.FMeasure);
    });

    private static ScoreColumn Number(string name, Reader<double> read) =>
        new(name, [], (in RowScores scores, Span<double> numbers) => numbers[0] = read(scores));

    private delegate T Reader<T>(in RowScores scores);
}
