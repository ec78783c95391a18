using System.Runtime.ExceptionServices;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>
/// Rows with their generated columns, several generated side by side. The first generated value of a row that is asked for runs the model until that row has
/// ended; meanwhile rows ahead of it, read into buffers in their order, take the slots that become free. Nothing is read ahead and the model does not run as
/// long as no generated value is asked for.
/// </summary>
internal sealed class BatchedTextGenerationCursor : DataViewRowCursor
{
    private readonly TextGenerationMapper _mapper;
    private readonly DataViewRowCursor _source;
    private readonly bool[] _active;
    private readonly int _slots;
    private readonly int _capacity;
    private readonly TextGenerationRun _run;
    private readonly Func<GenerationInput> _getInput;
    private readonly ValueGetter<DataViewRowId> _getId;

    // Row r, counted from 0, is at entry r % capacity of the buffers.
    private readonly ColumnBuffer?[] _columns;
    private readonly GenerationInput[] _inputs;
    private readonly DataViewRowId[] _ids;
    private readonly long[] _batches;
    private readonly GenerationResult?[] _results;

    private GenerationBatch? _batch;
    private ExceptionDispatchInfo? _sourceFailure;
    private bool _sourceEnded;
    private bool _ended;
    private long _current = -1;
    private long _read;
    private long _started;
    private long _reported;

    internal BatchedTextGenerationCursor(
        TextGenerationMapper mapper, DataViewRowCursor source, bool[] active, int slots, int capacity, long? rowCount)
    {
        _mapper = mapper;
        _source = source;
        _active = active;
        _slots = slots;
        _capacity = capacity;
        _run = new TextGenerationRun(mapper.Transformer, rowCount, TimeProvider.System);
        _columns = [.. mapper.InputSchema.Select(column => active[column.Index] ? ColumnBuffer.Create(source, column, capacity) : null)];
        _getInput = mapper.CreateInputGetter(source);
        _getId = source.GetIdGetter();
        _inputs = new GenerationInput[capacity];
        _ids = new DataViewRowId[capacity];
        _batches = new long[capacity];
        _results = new GenerationResult?[capacity];
    }

    public override DataViewSchema Schema => _mapper.OutputSchema;

    public override long Position => _ended ? -1 : _current;

    public override long Batch => Position < 0 ? 0 : _batches[Entry(_current)];

    public override bool MoveNext()
    {
        if (_ended)
            return false;
        if (_current + 1 == _read && !TryRead(_current + 1))
        {
            _ended = true;

            // What the source threw when it was read ahead, now that all rows before that have been delivered.
            _sourceFailure?.Throw();
            return false;
        }

        _current++;
        return true;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId value) => value = _ids[GetEntry()];

    public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this cursor.");
        return _mapper.IsAdded(column)
            ? _mapper.CreateGetter<TValue>(column, GetResult)
            : TypedGetter.Cast<TValue>(_columns[column.Index]!.CreateGetter(GetEntry), column);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _ended = true;
            _batch?.Dispose();
            _batch = null;
            _run.Dispose();
            _source.Dispose();
        }

        base.Dispose(disposing);
    }

    private int Entry(long row) => (int)(row % _capacity);

    private int GetEntry() => Position >= 0
        ? Entry(_current)
        : throw new InvalidOperationException("The cursor is not on a row: call MoveNext first, and stop when it returns false.");

    /// <summary>Reads the source's next row into the buffers, where the row <paramref name="oldest"/> and those after it are still needed.</summary>
    private bool TryRead(long oldest)
    {
        if (_sourceEnded || _read - oldest >= _capacity)
            return false;
        if (!_source.MoveNext())
        {
            _sourceEnded = true;
            return false;
        }

        int entry = Entry(_read);
        _inputs[entry] = _getInput();
        _getId(ref _ids[entry]);
        _batches[entry] = _source.Batch;
        _results[entry] = null;
        foreach (ColumnBuffer? column in _columns)
            column?.Read(entry);
        _read++;
        return true;
    }

    /// <summary>As <see cref="TryRead"/>, but what the source throws is kept until the rows before it have been delivered.</summary>
    private bool TryReadAhead()
    {
        try
        {
            return TryRead(_current);
        }
        catch (Exception exception)
        {
            _sourceFailure = ExceptionDispatchInfo.Capture(exception);
            _sourceEnded = true;
            return false;
        }
    }

    private GenerationResult GetResult()
    {
        int entry = GetEntry();
        GenerationResult result = _results[entry] ?? Generate(entry);
        if (_reported <= _current)
        {
            _run.Report(result, _current);
            _reported = _current + 1;
        }

        return _run.Check(result, _current);
    }

    private GenerationResult Generate(int entry)
    {
        try
        {
            _batch ??= _run.StartBatch(_slots, Take);
            while (true)
            {
                while (_batch.HasFreeSlot && TryStartNext())
                {
                }

                if (_results[entry] is { } result)
                    return result;
                _run.Step(_batch);
            }
        }
        catch
        {
            // Whoever asks again begins again, with the rows that had not ended.
            _batch?.Dispose();
            _batch = null;
            _started = _current;
            throw;
        }
    }

    private bool TryStartNext()
    {
        // Rows that were passed over are not generated.
        _started = Math.Max(_started, _current);
        while (_started < _read || TryReadAhead())
        {
            long row = _started++;
            if (_results[Entry(row)] is not null)
                continue;
            _batch!.Start(_inputs[Entry(row)], row);
            return true;
        }

        return false;
    }

    private void Take(long row, GenerationResult result)
    {
        // The entry of a row that was passed over may be another's by now.
        if (row >= _current)
            _results[Entry(row)] = result;
    }
}
