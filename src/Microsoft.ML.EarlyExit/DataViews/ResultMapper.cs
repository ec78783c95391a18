using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>A transformer bound to a schema: which columns are passed through, and which are added, computed together for each row.</summary>
/// <typeparam name="TResult">What the transformer makes of a row.</typeparam>
internal abstract class ResultMapper<TResult> : IRowToRowMapper
    where TResult : class
{
    private readonly IReadOnlyList<(OutputColumn<TResult> Column, string Name)> _outputs;
    private readonly HashSet<int> _inputs;

    /// <param name="inputSchema">The schema.</param>
    /// <param name="outputs">The columns that are added.</param>
    /// <param name="inputs">The columns of the schema that a row's result is computed from.</param>
    private protected ResultMapper(
        DataViewSchema inputSchema, IReadOnlyList<(OutputColumn<TResult> Column, string Name)> outputs, params IEnumerable<DataViewSchema.Column> inputs)
    {
        InputSchema = inputSchema;
        _outputs = outputs;
        _inputs = [.. inputs.Select(column => column.Index)];
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        foreach ((OutputColumn<TResult> column, string name) in outputs)
            column.AddTo(builder, name);
        OutputSchema = builder.ToSchema();
    }

    /// <inheritdoc/>
    public DataViewSchema InputSchema { get; }

    /// <summary>The input's columns at their indexes, then the added ones.</summary>
    public DataViewSchema OutputSchema { get; }

    /// <inheritdoc/>
    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        ArgumentNullException.ThrowIfNull(dependingColumns);
        return GetActiveInputs(GetActive(dependingColumns));
    }

    /// <inheritdoc/>
    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(activeColumns);
        if (input.Schema != InputSchema)
            throw new ArgumentException("The row's schema must be the one the mapper was made for.", nameof(input));
        return new ResultRow<TResult>(this, input, GetActive(activeColumns), CreateResults(input, rowCount: null, isCursor: false));
    }

    /// <summary>Which of the output's columns are requested.</summary>
    internal bool[] GetActive(IEnumerable<DataViewSchema.Column> columns)
    {
        bool[] active = new bool[OutputSchema.Count];
        foreach (DataViewSchema.Column column in columns)
        {
            if (column.Index >= active.Length || OutputSchema[column.Index].Name != column.Name)
                throw new ArgumentException($"There is no column '{column.Name}' at index {column.Index}.", nameof(columns));
            active[column.Index] = true;
        }

        return active;
    }

    /// <summary>The source's columns that must be read to answer for the active ones.</summary>
    internal IEnumerable<DataViewSchema.Column> GetActiveInputs(bool[] active)
    {
        bool computes = Computes(active);
        return InputSchema.Where(column => active[column.Index] || (computes && _inputs.Contains(column.Index)));
    }

    /// <summary>Whether an added column is active.</summary>
    internal bool Computes(bool[] active) => active.AsSpan(InputSchema.Count).Contains(true);

    /// <summary>Whether a column is one of the added.</summary>
    internal bool IsAdded(DataViewSchema.Column column) => column.Index >= InputSchema.Count;

    /// <summary>The getter of an added column, given the current row's result.</summary>
    internal ValueGetter<TValue> CreateGetter<TValue>(DataViewSchema.Column column, Func<TResult> current) =>
        TypedGetter.Cast<TValue>(_outputs[column.Index - InputSchema.Count].Column.CreateGetter(current), column);

    /// <summary>A cursor over the output.</summary>
    /// <param name="source">The source's cursor, with what <see cref="GetActiveInputs"/> names.</param>
    /// <param name="active">Which of the output's columns are requested.</param>
    /// <param name="rowCount">How many rows there are; null where nobody knows.</param>
    internal virtual DataViewRowCursor CreateCursor(DataViewRowCursor source, bool[] active, long? rowCount) =>
        new ResultCursor<TResult>(new ResultRow<TResult>(this, source, active, CreateResults(source, rowCount, isCursor: true)), source);

    /// <summary>The results of a source's rows.</summary>
    /// <param name="source">A live cursor row: its values change when the cursor moves.</param>
    /// <param name="rowCount">How many rows there are; null where nobody knows.</param>
    /// <param name="isCursor">Whether the results are disposed in the end: nobody disposes the rows of prediction engines, so those may hold nothing of the
    /// model.</param>
    private protected abstract RowResults<TResult> CreateResults(DataViewRow source, long? rowCount, bool isCursor);
}
