using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Rows with their scores, one at a time.</summary>
internal sealed class EvaluatedCursor(EvaluatedDataView view, DataViewRowCursor source, bool[] active) : DataViewRowCursor
{
    private EvaluationRowReader? _reader;
    private long _scoredPosition = -1;
    private RowScores _scores;
    private RowProblem _problem;

    public override DataViewSchema Schema => view.Schema;

    public override long Position => source.Position;

    public override long Batch => source.Batch;

    public override bool MoveNext() => source.MoveNext();

    public override ValueGetter<DataViewRowId> GetIdGetter() => source.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this row.");
        if (column.Index < source.Schema.Count)
            return source.GetGetter<TValue>(source.Schema[column.Index]);
        int index = column.Index - source.Schema.Count;
        Delegate getter = index == view.Scores.Count ? GetProblem() : GetScore(view.Scores[index]);
        return TypedGetter.Cast<TValue>(getter, column);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            source.Dispose();
        base.Dispose(disposing);
    }

    private ValueGetter<ReadOnlyMemory<char>> GetProblem() => (ref ReadOnlyMemory<char> value) =>
    {
        Score();
        value = (_problem == RowProblem.None ? "" : view.Columns.Describe(_problem)).AsMemory();
    };

    private Delegate GetScore(ScoreColumn column)
    {
        if (column.SlotNames.Count > 0)
        {
            return (ValueGetter<VBuffer<double>>)((ref VBuffer<double> value) =>
            {
                VBufferEditor<double> editor = VBufferEditor.Create(ref value, column.SlotNames.Count);
                Write(column, editor.Values);
                value = editor.Commit();
            });
        }

        return (ValueGetter<double>)((ref double value) => Write(column, new Span<double>(ref value)));
    }

    private void Write(ScoreColumn column, Span<double> numbers)
    {
        Score();
        if (_problem == RowProblem.None)
            column.Write(_scores, numbers);
        else
            numbers.Fill(double.NaN);
    }

    private void Score()
    {
        if (_scoredPosition == Position)
            return;
        _reader ??= new EvaluationRowReader(source, view.Columns);
        _problem = _reader.Read();
        if (_problem != RowProblem.None && view.Options.ThrowOnBadRows)
            throw new InvalidOperationException(TextGenerationEvaluation.Describe(Position, view.Columns, _problem));
        if (_problem == RowProblem.None)
            _scores = view.Scorer.Score(_reader.Prediction, _reader.References, _reader.FullDepth, view.CancellationToken);
        _scoredPosition = Position;
    }
}
