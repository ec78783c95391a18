using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Evaluation.DataViews;

/// <summary>The names of a vector column's numbers, where ML.NET looks for them.</summary>
internal static class SlotNames
{
    /// <summary>The annotations of a column.</summary>
    public static DataViewSchema.Annotations CreateAnnotations(IReadOnlyList<string> names)
    {
        var annotations = new DataViewSchema.Annotations.Builder();
        ReadOnlyMemory<char>[] values = [.. names.Select(name => name.AsMemory())];
        annotations.Add(
            nameof(SlotNames),
            new VectorDataViewType(TextDataViewType.Instance, values.Length),
            (ref VBuffer<ReadOnlyMemory<char>> value) =>
            {
                VBufferEditor<ReadOnlyMemory<char>> editor = VBufferEditor.Create(ref value, values.Length);
                values.CopyTo(editor.Values);
                value = editor.Commit();
            });
        return annotations.ToAnnotations();
    }
}
