using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>Rows with their generated columns, one at a time.</summary>
internal sealed class TextGenerationCursor(TextGenerationMapper mapper, DataViewRowCursor source, bool[] active) : DataViewRowCursor
{
    private readonly TextGenerationRow _row = new(mapper, source, active);

    public override DataViewSchema Schema => _row.Schema;

    public override long Position => _row.Position;

    public override long Batch => _row.Batch;

    public override bool MoveNext() => source.MoveNext();

    public override ValueGetter<DataViewRowId> GetIdGetter() => _row.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => _row.IsColumnActive(column);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => _row.GetGetter<TValue>(column);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _row.Dispose();
        base.Dispose(disposing);
    }
}
