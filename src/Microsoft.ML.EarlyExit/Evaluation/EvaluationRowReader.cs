using System.Runtime.InteropServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>Reads what is evaluated out of the current row of a cursor.</summary>
internal sealed class EvaluationRowReader
{
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getPrediction;
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getReference;
    private readonly ValueGetter<VBuffer<ReadOnlyMemory<char>>>? _getReferences;
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getFullDepth;
    private readonly ValueGetter<VBuffer<int>>? _getExitLayers;
    private readonly ValueGetter<VBuffer<long>>? _getOperations;
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getStopReason;
    private VBuffer<ReadOnlyMemory<char>> _referenceItems;
    private VBuffer<int> _layerItems;
    private VBuffer<long> _operationItems;
    private string[] _references = [];
    private int _referenceCount;
    private int[] _exitLayers = [];

    public EvaluationRowReader(DataViewRow row, EvaluationColumns columns)
    {
        _getPrediction = Getter<ReadOnlyMemory<char>>(row, columns.Prediction);
        if (columns.Label?.Type is VectorDataViewType)
            _getReferences = Getter<VBuffer<ReadOnlyMemory<char>>>(row, columns.Label);
        else
            _getReference = Getter<ReadOnlyMemory<char>>(row, columns.Label);
        _getFullDepth = Getter<ReadOnlyMemory<char>>(row, columns.FullDepth);
        _getExitLayers = Getter<VBuffer<int>>(row, columns.ExitLayers);
        _getOperations = Getter<VBuffer<long>>(row, columns.Operations);
        _getStopReason = Getter<ReadOnlyMemory<char>>(row, columns.StopReason);
    }

    public string Prediction { get; private set; } = "";

    public ReadOnlySpan<string> References => _references.AsSpan(0, _referenceCount);

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
            if (IsMissing(text))
                return RowProblem.MissingPrediction;
            Prediction = text.ToString();
        }

        if (_getFullDepth is not null)
        {
            _getFullDepth(ref text);
            if (IsMissing(text))
                return RowProblem.MissingPrediction;
            FullDepth = text.ToString();
        }

        return TryReadReferences() ? RowProblem.None : RowProblem.MissingReference;
    }

    /// <summary>Whether a text is missing rather than empty: ML.NET makes no difference, but a null of a program, and a field that a file leaves empty, have no memory.</summary>
    private static bool IsMissing(ReadOnlyMemory<char> text) =>
        text.IsEmpty && !MemoryMarshal.TryGetString(text, out _, out _, out _) && !(MemoryMarshal.TryGetArray(text, out ArraySegment<char> segment) && segment.Array is { Length: > 0 });

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
            if (ExitLayers.ContainsAnyExceptInRange(1, T5ConfigurationLimits.LayerCount))
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

    private bool TryReadReferences()
    {
        ReadOnlyMemory<char> text = default;
        if (_getReference is not null)
        {
            _getReference(ref text);
            if (IsMissing(text))
                return false;
            Take(text, 0);
            _referenceCount = 1;
        }

        if (_getReferences is null)
            return true;
        _getReferences(ref _referenceItems);
        _referenceCount = 0;

        // A missing text among others says nothing; an item that a sparse vector leaves out is one.
        foreach (KeyValuePair<int, ReadOnlyMemory<char>> item in _referenceItems.Items())
        {
            if (!IsMissing(item.Value))
                Take(item.Value, _referenceCount++);
        }

        return _referenceCount > 0;
    }

    private void Take(ReadOnlyMemory<char> text, int at)
    {
        if (at == _references.Length)
            Array.Resize(ref _references, Math.Max(4, 2 * at));
        _references[at] = text.ToString();
    }
}
