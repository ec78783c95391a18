using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>What a generated column holds: its type in data views, and how its value is read out of a result.</summary>
internal sealed class GeneratedColumn
{
    private readonly Func<Func<GenerationResult>, Delegate> _createGetter;

    private GeneratedColumn(string parameter, DataViewType type, Func<Func<GenerationResult>, Delegate> createGetter, params string[] slotNames)
    {
        Parameter = parameter;
        Type = type;
        SlotNames = slotNames;
        _createGetter = createGetter;
    }

    internal static GeneratedColumn Text { get; } =
        new("outputColumnName", TextDataViewType.Instance, Scalar(result => result.Text.AsMemory()));

    internal static GeneratedColumn TokenIds { get; } =
        new("tokenIdsColumnName", new VectorDataViewType(NumberDataViewType.Int32), Vector(result => result.TokenIds));

    internal static GeneratedColumn ExitLayers { get; } =
        new("exitLayersColumnName", new VectorDataViewType(NumberDataViewType.Int32), Vector(result => result.ExitLayers));

    internal static GeneratedColumn Confidences { get; } =
        new("confidencesColumnName", new VectorDataViewType(NumberDataViewType.Single), Vector(result => result.Confidences));

    internal static GeneratedColumn StopReason { get; } =
        new("stopReasonColumnName", TextDataViewType.Instance, Scalar(result => result.StopReason.ToString().AsMemory()));

    internal static GeneratedColumn OperationCounts { get; } = new(
        "operationCountsColumnName",
        new VectorDataViewType(NumberDataViewType.Int64, 5),
        Vector(result => (long[])[
            result.Operations.Decoder, result.Operations.StatePropagation, result.Operations.Confidence, result.Operations.Head, result.Operations.Paper]),
        "Decoder", "StatePropagation", "Confidence", "Head", "Paper");

    /// <summary>Every generated column, in the order in which they are added to a schema.</summary>
    internal static IReadOnlyList<GeneratedColumn> All { get; } = [Text, TokenIds, ExitLayers, Confidences, StopReason, OperationCounts];

    /// <summary>The name of what names the column, in messages and saved models.</summary>
    internal string Parameter { get; }

    internal DataViewType Type { get; }

    /// <summary>The names of a fixed-length vector's slots; empty for every other type.</summary>
    internal IReadOnlyList<string> SlotNames { get; }

    /// <summary>The getter of the column, given what was generated for the current row.</summary>
    internal Delegate CreateGetter(Func<GenerationResult> current) => _createGetter(current);

    /// <summary>Adds the column to a schema.</summary>
    internal void AddTo(DataViewSchema.Builder schema, string name)
    {
        if (SlotNames.Count == 0)
        {
            schema.AddColumn(name, Type);
            return;
        }

        schema.AddColumn(name, Type, EarlyExit.SlotNames.CreateAnnotations(SlotNames));
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

    private static Func<Func<GenerationResult>, Delegate> Scalar<T>(Func<GenerationResult, T> read) =>
        current => (ValueGetter<T>)((ref T value) => value = read(current()));

    private static Func<Func<GenerationResult>, Delegate> Vector<T>(Func<GenerationResult, IReadOnlyList<T>> read) =>
        current => (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => Fill(ref value, read(current())));

    private static void Fill<T>(ref VBuffer<T> value, IReadOnlyList<T> items)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref value, items.Count);
        for (int i = 0; i < items.Count; i++)
            editor.Values[i] = items[i];
        value = editor.Commit();
    }
}
