using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Rows with their generated columns, several at a time: it reads rows ahead into buffers, as the source moves on from them, and generates for all of them
/// when the first generated value of one is asked for.
/// </summary>
internal sealed class BatchedTextGenerationCursor : DataViewRowCursor
{
    private readonly TextGenerationMapper _mapper;
    private readonly DataViewRowCursor _source;
    private readonly bool[] _active;
    private readonly TextGenerationRun _run;
    private readonly ColumnBuffer?[] _columns;
    private readonly ValueGetter<ReadOnlyMemory<char>> _getInput;
    private readonly ValueGetter<DataViewRowId> _getId;
    private readonly GenerationInput[] _inputs;
    private readonly DataViewRowId[] _ids;
    private readonly long[] _batches;

    private IReadOnlyList<GenerationResult>? _results;
    private long _firstPosition;
    private int _count;
    private int _slot = -1;
    private bool _ended;

    internal BatchedTextGenerationCursor(TextGenerationMapper mapper, DataViewRowCursor source, bool[] active, int capacity)
    {
        _mapper = mapper;
        _source = source;
        _active = active;
        _run = new TextGenerationRun(mapper.Transformer);
        _columns = [.. mapper.InputSchema.Select(column => active[column.Index] ? ColumnBuffer.Create(source, column, capacity) : null)];
        _getInput = mapper.GetInputGetter(source);
        _getId = source.GetIdGetter();
        _inputs = new GenerationInput[capacity];
        _ids = new DataViewRowId[capacity];
        _batches = new long[capacity];
    }

    public override DataViewSchema Schema => _mapper.OutputSchema;

    public override long Position => _slot < 0 ? -1 : _firstPosition + _slot;

    public override long Batch => _slot < 0 ? 0 : _batches[_slot];

    public override bool MoveNext()
    {
        if (_ended)
            return false;
        if (++_slot < _count)
            return true;

        _firstPosition += _count;
        _results = null;
        for (_count = 0; _count < _inputs.Length && _source.MoveNext(); _count++)
        {
            ReadOnlyMemory<char> text = default;
            _getInput(ref text);
            _inputs[_count] = GenerationInput.FromText(text.ToString());
            _getId(ref _ids[_count]);
            _batches[_count] = _source.Batch;
            foreach (ColumnBuffer? column in _columns)
                column?.Read(_count);
        }

        _ended = _count == 0;
        _slot = _ended ? -1 : 0;
        return !_ended;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId value) => value = _ids[GetSlot()];

    public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this cursor.");
        Delegate getter = _mapper.IsGenerated(column) ? _mapper.CreateGetter(column, GetResult) : _columns[column.Index]!.CreateGetter(GetSlot);
        return TextGenerationMapper.Cast<TValue>(getter, column);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _run.Dispose();
            _source.Dispose();
        }

        base.Dispose(disposing);
    }

    private int GetSlot() =>
        _slot >= 0 ? _slot : throw new InvalidOperationException("The cursor is not on a row: call MoveNext first, and stop when it returns false.");

    private GenerationResult GetResult()
    {
        int slot = GetSlot();
        _results ??= _run.Generate(new ArraySegment<GenerationInput>(_inputs, 0, _count), _firstPosition);
        return TextGenerationRun.Check(_results[slot], Position);
    }
}
