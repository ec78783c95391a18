using System.Runtime.InteropServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Reads the references of a cursor's current row out of a column of texts or of vectors of texts.</summary>
internal sealed class ReferenceReader
{
    private readonly ValueGetter<ReadOnlyMemory<char>>? _getOne;
    private readonly ValueGetter<VBuffer<ReadOnlyMemory<char>>>? _getSeveral;
    private VBuffer<ReadOnlyMemory<char>> _items;
    private string[] _references = [];
    private int _count;

    /// <param name="row">The cursor.</param>
    /// <param name="column">Its column, of a type that <see cref="Accepts"/>.</param>
    public ReferenceReader(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is VectorDataViewType)
            _getSeveral = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(column);
        else
            _getOne = row.GetGetter<ReadOnlyMemory<char>>(column);
    }

    /// <summary>What a message calls the types of <see cref="Accepts"/>.</summary>
    public const string Expected = "String, or a vector of String";

    /// <summary>Whether a column of the type can hold references.</summary>
    public static bool Accepts(DataViewType type) => (type is VectorDataViewType vector ? vector.ItemType : type) is TextDataViewType;

    /// <summary>Whether a text is missing rather than empty: ML.NET makes no difference, but a null of a program, and a field that a file leaves empty, have no
    /// memory.</summary>
    public static bool IsMissing(ReadOnlyMemory<char> text) =>
        text.IsEmpty
        && !MemoryMarshal.TryGetString(text, out _, out _, out _)
        && !(MemoryMarshal.TryGetArray(text, out ArraySegment<char> segment) && segment.Array is { Length: > 0 });

    /// <summary>The references of the row that was read last, without those that are missing.</summary>
    public ReadOnlySpan<string> Current => _references.AsSpan(0, _count);

    /// <summary>Reads the row's references, and says how many there are.</summary>
    public int Read()
    {
        _count = 0;
        if (_getOne is not null)
        {
            ReadOnlyMemory<char> text = default;
            _getOne(ref text);
            if (IsMissing(text))
                return 0;
            Take(text);
            return _count;
        }

        _getSeveral!(ref _items);

        // An item that a sparse vector leaves out is missing, too.
        foreach (KeyValuePair<int, ReadOnlyMemory<char>> item in _items.Items())
        {
            if (!IsMissing(item.Value))
                Take(item.Value);
        }

        return _count;
    }

    private void Take(ReadOnlyMemory<char> text)
    {
        if (_count == _references.Length)
            Array.Resize(ref _references, Math.Max(4, 2 * _count));
        _references[_count++] = text.ToString();
    }
}
