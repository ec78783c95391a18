namespace Microsoft.ML.EarlyExit.Training;

/// <summary>
/// Examples for exit classifiers: for every token of every row's target, and every layer that may be an exit, the hidden state, and whether the layer would
/// have chosen as the last one. Rows are computed when they are read, and again when they are read again.
/// </summary>
internal sealed class ExitExampleView(ExitExampleSource source) : IDataView
{
    public DataViewSchema Schema { get; } = ExitExampleColumns.CreateSchema(source.Model.Configuration.ModelDimension);

    // Rows are numbered as they come.
    public bool CanShuffle => false;

    public long? GetRowCount() => null;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = new bool[Schema.Count];
        foreach (DataViewSchema.Column column in columnsNeeded)
            active[column.Index] = true;
        return new ExitExampleCursor(source, Schema, active);
    }

    // One cursor, as the contract allows: the model itself uses all processors.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
