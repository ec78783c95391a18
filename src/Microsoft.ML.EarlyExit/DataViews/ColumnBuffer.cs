using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>The values of one column of rows that were read ahead.</summary>
internal abstract class ColumnBuffer
{
    /// <summary>Whether values of a type survive their source's moving on: primitive ones are copied whole, vectors item by item; nothing is known
    /// about others.</summary>
    internal static bool CanHold(DataViewType type) => type is PrimitiveDataViewType or VectorDataViewType;

    internal static ColumnBuffer Create(DataViewRow source, DataViewSchema.Column column, int capacity)
    {
        (Type buffer, Type value) = column.Type is VectorDataViewType vector
            ? (typeof(Vectors<>), vector.ItemType.RawType)
            : (typeof(Values<>), column.Type.RawType);
        const BindingFlags Constructor = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DoNotWrapExceptions;
        return (ColumnBuffer)Activator.CreateInstance(
            buffer.MakeGenericType(value), Constructor, null, [source, source.Schema[column.Index], capacity], null)!;
    }

    /// <summary>Takes the source's current value.</summary>
    internal abstract void Read(int slot);

    /// <summary>A getter of the values that were taken.</summary>
    internal abstract Delegate CreateGetter(Func<int> currentSlot);

    private sealed class Values<T> : ColumnBuffer
    {
        private readonly ValueGetter<T> _get;
        private readonly T[] _values;

        internal Values(DataViewRow source, DataViewSchema.Column column, int capacity)
        {
            _get = source.GetGetter<T>(column);
            _values = new T[capacity];
        }

        internal override void Read(int slot) => _get(ref _values[slot]);

        internal override Delegate CreateGetter(Func<int> currentSlot) => (ValueGetter<T>)((ref T value) => value = _values[currentSlot()]);
    }

    private sealed class Vectors<T> : ColumnBuffer
    {
        private readonly ValueGetter<VBuffer<T>> _get;
        private readonly VBuffer<T>[] _values;

        internal Vectors(DataViewRow source, DataViewSchema.Column column, int capacity)
        {
            _get = source.GetGetter<VBuffer<T>>(column);
            _values = new VBuffer<T>[capacity];
        }

        internal override void Read(int slot) => _get(ref _values[slot]);

        internal override Delegate CreateGetter(Func<int> currentSlot) =>
            (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => _values[currentSlot()].CopyTo(ref value));
    }
}
