namespace Microsoft.ML.EarlyExit;

/// <summary>A data view's rows with their generated columns.</summary>
internal sealed class TextGenerationDataView(IDataView source, TextGenerationMapper mapper) : IDataView
{
    /// <summary>Batches that the rows read ahead fill: where a row has ended one of them begins, so more of them leave fewer slots idle beside a long row.</summary>
    private const int BatchesReadAhead = 8;

    public DataViewSchema Schema => mapper.OutputSchema;

    public bool CanShuffle => source.CanShuffle;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        ArgumentNullException.ThrowIfNull(columnsNeeded);
        bool[] active = mapper.GetActive(columnsNeeded);
        DataViewSchema.Column[] inputs = [.. mapper.GetActiveInputs(active)];
        DataViewRowCursor cursor = source.GetRowCursor(inputs, rand);
        if (!mapper.Generates(active) || !inputs.All(column => ColumnBuffer.CanHold(column.Type)))
            return new TextGenerationCursor(mapper, cursor, active);

        int batchSize = mapper.Transformer.GenerationOptions.BatchSize;
        int capacity = batchSize == 1 ? 1 : batchSize * BatchesReadAhead;
        return new BatchedTextGenerationCursor(mapper, cursor, active, batchSize, capacity, source.GetRowCount());
    }

    // One cursor, as the contract allows: the model itself uses all processors, and more cursors would only make smaller batches.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
