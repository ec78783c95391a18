namespace Microsoft.ML.EarlyExit.Evaluation.DataViews;

/// <summary>Getters of columns whose type is known only where they are asked for.</summary>
internal static class TypedGetter
{
    /// <summary>A getter as the type that was asked for.</summary>
    /// <exception cref="InvalidOperationException">The column is of another type.</exception>
    public static ValueGetter<TValue> Cast<TValue>(Delegate getter, DataViewSchema.Column column) =>
        getter as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Column '{column.Name}' is of type {column.Type}; it cannot be read as {typeof(TValue)}.");
}
