using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>Rows with their added columns, one at a time.</summary>
internal sealed class ResultCursor<TResult>(ResultRow<TResult> row, DataViewRowCursor source) : DataViewRowCursor
    where TResult : class
{
    public override DataViewSchema Schema => row.Schema;

    public override long Position => row.Position;

    public override long Batch => row.Batch;

    public override bool MoveNext() => source.MoveNext();

    public override ValueGetter<DataViewRowId> GetIdGetter() => row.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => row.IsColumnActive(column);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => row.GetGetter<TValue>(column);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            row.Dispose();
        base.Dispose(disposing);
    }
}
