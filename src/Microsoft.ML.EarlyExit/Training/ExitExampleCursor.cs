using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Training;

/// <summary>
/// The examples of one row after the other: position by position, and at each layer by layer. The decoder runs when the first hidden state or label of a row is
/// asked for, the head when the first label is.
/// </summary>
internal sealed class ExitExampleCursor : DataViewRowCursor
{
    private readonly ExitExampleSource _source;
    private readonly bool[] _active;
    private readonly DataViewRowCursor _rows;
    private readonly Func<GenerationInput> _getInput;
    private readonly Func<GenerationInput> _getTarget;
    private readonly ValueGetter<DataViewRowId> _getRowId;
    private readonly ExitExampleLog _log;
    private readonly int _maximumTargetTokens;
    private TeacherForcedRun? _run;

    // The current row.
    private IReadOnlyList<int> _inputIds = [];
    private int[] _targetIds = [];
    private int[] _positions = [];
    private bool[]? _labels;
    private bool _isDecoded;
    private bool _isHeldOut;
    private long _row = -1;

    private int _example = -1;
    private long _position = -1;
    private bool _ended;

    internal ExitExampleCursor(ExitExampleSource source, DataViewSchema schema, bool[] active)
    {
        _source = source;
        Schema = schema;
        _active = active;
        _maximumTargetTokens = source.Model.MaxNewTokens(source.Generation);
        DataViewSchema.Column input = source.Input;
        DataViewSchema.Column target = source.Target;
        _rows = source.Data.GetRowCursor([input, target]);
        _getInput = InputColumn.CreateGetter(_rows, input);
        _getTarget = InputColumn.CreateGetter(_rows, target);
        _getRowId = _rows.GetIdGetter();
        _log = new ExitExampleLog(source.Host, source.Data.GetRowCount(), TimeProvider.System);
    }

    public override DataViewSchema Schema { get; }

    public override long Position => _position;

    public override long Batch => _position < 0 ? 0 : _rows.Batch;

    private int ExampleCount => _positions.Length * _source.LayerCount;

    private int CurrentIndex => _position >= 0
        ? _example / _source.LayerCount
        : throw new InvalidOperationException("The cursor is not on a row: call MoveNext first, and stop when it returns false.");

    private int CurrentLayer => _source.MinimumLayer + (_example % _source.LayerCount);

    public override bool MoveNext()
    {
        if (_ended)
            return false;
        if (_example + 1 == ExampleCount && !MoveToNextRow())
        {
            _ended = true;
            _position = -1;
            return false;
        }

        _example++;
        _position = _position < 0 ? 0 : _position + 1;
        return true;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId value) =>
    {
        DataViewRowId id = default;
        int index = CurrentIndex;
        _getRowId(ref id);
        value = id.Fork().Combine(new DataViewRowId((ulong)_positions[index], (ulong)CurrentLayer));
    };

    public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this cursor.");
        Delegate getter = column.Name switch
        {
            ExitExampleColumns.Features => (ValueGetter<VBuffer<float>>)GetFeatures,
            ExitExampleColumns.Label => (ValueGetter<bool>)GetLabel,
            ExitExampleColumns.Layer => (ValueGetter<int>)GetLayer,
            ExitExampleColumns.Position => (ValueGetter<int>)GetPosition,
            _ => (ValueGetter<bool>)GetIsHeldOut,
        };
        return TypedGetter.Cast<TValue>(getter, column);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _ended = true;
            _position = -1;
            _run?.Dispose();
            _run = null;
            _log.Dispose();
            _rows.Dispose();
        }

        base.Dispose(disposing);
    }

    private void GetFeatures(ref VBuffer<float> value)
    {
        ReadOnlySpan<float> hidden = Decode(CurrentIndex).Hidden(CurrentLayer, _positions[CurrentIndex]);
        VBufferEditor<float> editor = VBufferEditor.Create(ref value, hidden.Length);
        hidden.CopyTo(editor.Values);
        value = editor.Commit();
    }

    private void GetLabel(ref bool value)
    {
        int index = CurrentIndex;
        value = (_labels ??= ComputeLabels(Decode(index)))[_example];
    }

    private void GetLayer(ref int value)
    {
        _ = CurrentIndex;
        value = CurrentLayer;
    }

    private void GetPosition(ref int value) => value = _positions[CurrentIndex];

    private void GetIsHeldOut(ref bool value)
    {
        _ = CurrentIndex;
        value = _isHeldOut;
    }

    private bool MoveToNextRow()
    {
        _source.CancellationToken.ThrowIfCancellationRequested();
        if (!_rows.MoveNext())
            return false;
        _row++;
        _example = -1;
        _labels = null;
        _isDecoded = false;
        _isHeldOut = _source.Sampling.IsHeldOut(_row);
        PreparedInput input = _source.Model.Prepare(_getInput(), _source.Generation);
        if (input.Error is { } error)
            throw Refuse(error);
        _inputIds = input.TokenIds;
        PreparedTarget target = PreparedTarget.Prepare(
            _getTarget().Under(_source.Generation), _source.Model.Tokenizer, _source.Model.Configuration, _maximumTargetTokens, cuts: true);
        if (target.Error is { } targetError)
            throw Refuse(targetError);
        _targetIds = target.TokenIds;
        _positions = _source.Sampling.ChoosePositions(_row, _targetIds.Length);
        if (input.CutTokens > 0 && !_source.HasGeneratedTargets)
        {
            _log.Warn(
                $"Row {_row}: the input exceeds MaxInputTokens ({_source.Generation.MaxInputTokens}); {input.CutTokens} tokens were cut off its end.");
        }

        if (target.CutTokens > 0)
            _log.Warn($"Row {_row}: the target exceeds MaxNewTokens ({_maximumTargetTokens}); {target.CutTokens} tokens were cut off its end.");
        return true;
    }

    private TeacherForcedRun Decode(int index)
    {
        _run ??= _source.Model.StartTeacherForcing();
        if (_isDecoded)
            return _run;
        if (_run.Decode(_inputIds, _targetIds, _source.Generation.EncoderMemoryBytes, _source.CancellationToken) is { } error)
            throw Refuse(error);
        _isDecoded = true;
        _log.Decoded(_positions.Length, ExampleCount);
        return _run;
    }

    private bool[] ComputeLabels(TeacherForcedRun run)
    {
        int layers = _source.LayerCount;
        bool[] labels = new bool[ExampleCount];
        int[] last = new int[_positions.Length];
        int[] ids = new int[_positions.Length];
        ArgMax(run, _source.Model.Configuration.DecoderLayerCount, last);
        for (int layer = 0; layer < layers; layer++)
        {
            ArgMax(run, _source.MinimumLayer + layer, ids);
            for (int index = 0; index < ids.Length; index++)
                labels[(index * layers) + layer] = ids[index] == last[index];
        }

        return labels;
    }

    private void ArgMax(TeacherForcedRun run, int layer, int[] ids)
    {
        run.ArgMax(layer, _positions, ids);
        if (ids.Contains(TeacherForcedRun.Invalid))
            throw Refuse($"After decoder layer {layer} its logits hold a NaN or an infinity: the model's weights do not fit this input.");
    }

    private InvalidOperationException Refuse(string error) => new($"Row {_row}, counted from 0, cannot be used for training: {error}");
}
