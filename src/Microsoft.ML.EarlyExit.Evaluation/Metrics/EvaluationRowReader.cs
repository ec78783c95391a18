using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.Outcomes;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Reads what is evaluated out of the current row of a cursor.</summary>
internal sealed class EvaluationRowReader
{
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getPrediction;
    private readonly ReferenceReader? _references;
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getFullDepth;
    private readonly ValueGetter<VBuffer<int>>? _getExitLayers;
    private readonly ValueGetter<VBuffer<long>>? _getOperations;
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getStopReason;
    private VBuffer<int> _layerItems;
    private VBuffer<long> _operationItems;
    private int[] _exitLayers = [];

    public EvaluationRowReader(DataViewRow row, EvaluationColumns columns)
    {
        _getPrediction = Getter<ReadOnlyMemory<char>>(row, columns.Prediction);
        if (columns.Label is { } label)
            _references = new ReferenceReader(row, row.Schema[label.Index]);
        _getFullDepth = Getter<ReadOnlyMemory<char>>(row, columns.FullDepth);
        _getExitLayers = Getter<VBuffer<int>>(row, columns.ExitLayers);
        _getOperations = Getter<VBuffer<long>>(row, columns.Operations);
        _getStopReason = Getter<ReadOnlyMemory<char>>(row, columns.StopReason);
    }

    public string Prediction { get; private set; } = "";

    /// <summary>The references; none where no column has any.</summary>
    public ReadOnlySpan<string> References => _references is null ? [] : _references.Current;

    public string FullDepth { get; private set; } = "";

    public ReadOnlySpan<int> ExitLayers => _exitLayers.AsSpan(0, _layerItems.Length);

    public OperationCounts Operations { get; private set; }

    /// <summary>Reads the row, and says why it cannot be evaluated.</summary>
    public RowProblem Read()
    {
        ReadOnlyMemory<char> text = default;
        if (_getStopReason is not null)
        {
            _getStopReason(ref text);
            if (text.Span.SequenceEqual(nameof(StopReason.Error)))
                return RowProblem.Failed;
        }

        if (!TryReadExits())
            return RowProblem.Failed;
        if (_getPrediction is not null)
        {
            _getPrediction(ref text);
            if (ReferenceReader.IsMissing(text))
                return RowProblem.MissingPrediction;
            Prediction = text.ToString();
        }

        if (_getFullDepth is not null)
        {
            _getFullDepth(ref text);
            if (ReferenceReader.IsMissing(text))
                return RowProblem.MissingPrediction;
            FullDepth = text.ToString();
        }

        return _references is null || _references.Read() > 0 ? RowProblem.None : RowProblem.MissingReference;
    }

    private static ValueGetter<T>? Getter<T>(DataViewRow row, DataViewSchema.Column? column) =>
        column is { } found ? row.GetGetter<T>(row.Schema[found.Index]) : null;

    private bool TryReadExits()
    {
        if (_getExitLayers is not null)
        {
            _getExitLayers(ref _layerItems);
            if (_exitLayers.Length < _layerItems.Length)
                _exitLayers = new int[_layerItems.Length];
            _layerItems.CopyTo(_exitLayers);
            if (ExitLayers.ContainsAnyExceptInRange(1, GenerationLimits.LayerCount))
                return false;
        }

        if (_getOperations is null)
            return true;
        _getOperations(ref _operationItems);
        Span<long> counts = stackalloc long[5];
        foreach (KeyValuePair<int, long> item in _operationItems.Items())
            counts[item.Key] = item.Value;
        Operations = new OperationCounts(counts[0], counts[1], counts[2], counts[3], counts[4]);
        return !counts.ContainsAnyExceptInRange(0, long.MaxValue);
    }
}
