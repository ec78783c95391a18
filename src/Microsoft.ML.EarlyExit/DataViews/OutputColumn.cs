using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.EarlyExit.Interop;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>What a column that a transformer adds holds: its type in data views, and how its value is read out of a row's result.</summary>
/// <typeparam name="TResult">What the transformer makes of a row.</typeparam>
internal sealed class OutputColumn<TResult>
{
    private readonly Func<Func<TResult>, Delegate> _createGetter;

    private OutputColumn(string parameter, DataViewType type, Func<Func<TResult>, Delegate> createGetter, params string[] slotNames)
    {
        Parameter = parameter;
        Type = type;
        SlotNames = slotNames;
        _createGetter = createGetter;
    }

    /// <summary>A column of one value in a row.</summary>
    internal static OutputColumn<TResult> Scalar<T>(string parameter, DataViewType type, Func<TResult, T> read) =>
        new(parameter, type, current => (ValueGetter<T>)((ref T value) => value = read(current())));

    /// <summary>A column of vectors of numbers; of variable length, unless the slots have names.</summary>
    internal static OutputColumn<TResult> Vector<T>(string parameter, Func<TResult, IReadOnlyList<T>> read, params string[] slotNames)
        where T : struct
    {
        PrimitiveDataViewType item =
            typeof(T) == typeof(int) ? NumberDataViewType.Int32 : typeof(T) == typeof(long) ? NumberDataViewType.Int64 : NumberDataViewType.Single;
        return new(
            parameter,
            slotNames.Length == 0 ? new VectorDataViewType(item) : new VectorDataViewType(item, slotNames.Length),
            current => (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => Fill(ref value, read(current()))),
            slotNames);
    }

    /// <summary>The name of what names the column, in messages and saved models.</summary>
    internal string Parameter { get; }

    internal DataViewType Type { get; }

    /// <summary>The names of a fixed-length vector's slots; empty for every other type.</summary>
    internal IReadOnlyList<string> SlotNames { get; }

    /// <summary>The getter of the column, given the current row's result.</summary>
    internal Delegate CreateGetter(Func<TResult> current) => _createGetter(current);

    /// <summary>Adds the column to a schema.</summary>
    internal void AddTo(DataViewSchema.Builder schema, string name)
    {
        if (SlotNames.Count == 0)
        {
            schema.AddColumn(name, Type);
            return;
        }

        schema.AddColumn(name, Type, Evaluation.DataViews.SlotNames.CreateAnnotations(SlotNames));
    }

    /// <summary>The column in the shape of a schema.</summary>
    internal SchemaShape.Column ToShape(string name)
    {
        if (Type is not VectorDataViewType vector)
            return MLNetInterop.CreateColumn(name, SchemaShape.Column.VectorKind.Scalar, Type);
        if (!vector.IsKnownSize)
            return MLNetInterop.CreateColumn(name, SchemaShape.Column.VectorKind.VariableVector, vector.ItemType);
        SchemaShape.Column slotNames = MLNetInterop.CreateColumn(nameof(SlotNames), SchemaShape.Column.VectorKind.Vector, TextDataViewType.Instance);
        return MLNetInterop.CreateColumn(name, SchemaShape.Column.VectorKind.Vector, vector.ItemType, new SchemaShape([slotNames]));
    }

    private static void Fill<T>(ref VBuffer<T> value, IReadOnlyList<T> items)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref value, items.Count);
        for (int i = 0; i < items.Count; i++)
            editor.Values[i] = items[i];
        value = editor.Commit();
    }
}
