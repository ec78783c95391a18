namespace Microsoft.ML.EarlyExit;

/// <summary>A data view's rows with their generated columns.</summary>
internal sealed class TextGenerationDataView(IDataView source, TextGenerationMapper mapper) : IDataView
{
    public DataViewSchema Schema => mapper.OutputSchema;

    public bool CanShuffle => source.CanShuffle;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = mapper.GetActive(columnsNeeded);
        DataViewSchema.Column[] inputs = [.. mapper.GetActiveInputs(active)];
        int capacity = mapper.Transformer.Options.BatchSize;
        bool readsAhead = capacity > 1 && mapper.Generates(active) && inputs.All(column => ColumnBuffer.CanHold(column.Type));

        DataViewRowCursor cursor = source.GetRowCursor(inputs, rand);
        return readsAhead ? new BatchedTextGenerationCursor(mapper, cursor, active, capacity) : new TextGenerationCursor(mapper, cursor, active);
    }

    // One cursor, as the contract allows: the model itself uses all processors, and more cursors would only make smaller batches.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
