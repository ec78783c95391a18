namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>A data view's rows with their added columns.</summary>
internal sealed class ResultDataView<TResult>(IDataView source, ResultMapper<TResult> mapper) : IDataView
    where TResult : class
{
    public DataViewSchema Schema => mapper.OutputSchema;

    public bool CanShuffle => source.CanShuffle;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = mapper.GetActive(columnsNeeded);
        return mapper.CreateCursor(source.GetRowCursor([.. mapper.GetActiveInputs(active)], rand), active, source.GetRowCount());
    }

    // One cursor, as the contract allows: the model itself uses all processors, and more cursors would only make smaller batches.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
