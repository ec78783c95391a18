using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>A row with its added columns, over a live cursor row of the source: its values change when the cursor moves.</summary>
internal sealed class ResultRow<TResult>(ResultMapper<TResult> mapper, DataViewRow input, bool[] active, RowResults<TResult> results) : DataViewRow
    where TResult : class
{
    public override DataViewSchema Schema => mapper.OutputSchema;

    public override long Position => input.Position;

    public override long Batch => input.Batch;

    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this row.");
        return mapper.IsAdded(column) ? mapper.CreateGetter<TValue>(column, results.Get) : input.GetGetter<TValue>(input.Schema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            results.Dispose();
            input.Dispose();
        }

        base.Dispose(disposing);
    }
}
