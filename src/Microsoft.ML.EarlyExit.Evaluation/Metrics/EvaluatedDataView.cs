using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>A data view's rows with a column for each of their scores, computed when one of those is read.</summary>
internal sealed class EvaluatedDataView : IDataView
{
    /// <summary>The column that says why a row has no scores.</summary>
    public const string ProblemColumnName = "EvaluationProblem";

    private readonly IDataView _source;

    public EvaluatedDataView(IDataView source, TextGenerationEvaluationOptions options, CancellationToken cancellationToken)
    {
        _source = source;
        CancellationToken = cancellationToken;
        Options = options;
        Columns = new EvaluationColumns(source.Schema, options);
        Scorer = Columns.CreateScorer(options);
        Scores = [.. ScoreColumn.Of(Scorer)];
        if (Scores.Count == 0)
        {
            throw new ArgumentException(
                "Rows have no scores without texts that are compared: name PredictionColumnName, and LabelColumnName or FullDepthColumnName.", nameof(options));
        }

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(source.Schema);
        foreach (ScoreColumn column in Scores)
            builder.AddColumn(column.Name, column.Type, column.SlotNames.Count == 0 ? null : SlotNames.CreateAnnotations(column.SlotNames));
        builder.AddColumn(ProblemColumnName, TextDataViewType.Instance);
        Schema = builder.ToSchema();
    }

    public TextGenerationEvaluationOptions Options { get; }

    /// <summary>Ends the scoring of a row of huge texts.</summary>
    public CancellationToken CancellationToken { get; }

    public EvaluationColumns Columns { get; }

    public RowScorer Scorer { get; }

    /// <summary>The score columns, behind the source's; the last column of all says what is wrong with a row.</summary>
    public IReadOnlyList<ScoreColumn> Scores { get; }

    public DataViewSchema Schema { get; }

    public bool CanShuffle => _source.CanShuffle;

    public long? GetRowCount() => _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = Active(columnsNeeded);
        return new EvaluatedCursor(this, _source.GetRowCursor(Inputs(active), rand), active);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = Active(columnsNeeded);
        return [.. _source.GetRowCursorSet(Inputs(active), n, rand).Select(cursor => new EvaluatedCursor(this, cursor, active))];
    }

    private bool[] Active(IEnumerable<DataViewSchema.Column> columnsNeeded)
    {
        bool[] active = new bool[Schema.Count];
        foreach (DataViewSchema.Column column in columnsNeeded)
            active[column.Index] = true;
        return active;
    }

    private IEnumerable<DataViewSchema.Column> Inputs(bool[] active)
    {
        bool scores = active.AsSpan(_source.Schema.Count).Contains(true);
        HashSet<int> read = scores ? [.. Columns.All.Select(column => column.Index)] : [];
        return _source.Schema.Where(column => active[column.Index] || read.Contains(column.Index));
    }
}
