using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>A row with its generated columns, over a row of the source that moves on by itself.</summary>
internal sealed class TextGenerationRow(TextGenerationMapper mapper, DataViewRow input, bool[] active) : DataViewRow
{
    private readonly TextGenerationRun _run = new(mapper.Transformer, rowCount: null, TimeProvider.System);
    private readonly GenerationResult[] _results = new GenerationResult[1];
    private Func<GenerationInput>? _getInput;
    private GenerationResult? _result;
    private long _resultPosition;

    public override DataViewSchema Schema => mapper.OutputSchema;

    public override long Position => input.Position;

    public override long Batch => input.Batch;

    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this row.");
        return mapper.IsGenerated(column) ? mapper.CreateGetter<TValue>(column, GetResult) : input.GetGetter<TValue>(input.Schema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _run.Dispose();
            input.Dispose();
        }

        base.Dispose(disposing);
    }

    // Several columns of one row cost one generation. No batch is kept between rows: nobody disposes the rows of prediction engines.
    private GenerationResult GetResult()
    {
        long position = input.Position;
        if (_result is null || _resultPosition != position)
        {
            _getInput ??= mapper.GetInputGetter(input);
            using (GenerationBatch batch = _run.StartBatch(1, (row, result) => _results[row] = result))
            {
                batch.Start(_getInput(), 0);
                while (batch.IsRunning)
                    _run.Step(batch);
            }

            _result = _results[0];
            _resultPosition = position;
            _run.Report(_result, position);
        }

        return _run.Check(_result, position);
    }
}
