using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>A transformer bound to a schema: which columns are passed through, which are generated, and from which.</summary>
internal sealed class TextGenerationMapper : IRowToRowMapper
{
    private readonly DataViewSchema.Column _input;

    internal TextGenerationMapper(TextGenerationTransformer transformer, DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        Transformer = transformer;
        InputSchema = inputSchema;
        _input = transformer.Columns.FindInput(inputSchema);
        transformer.Columns.CheckModel(transformer.Model, _input);

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        foreach ((GeneratedColumn column, string name) in transformer.Columns.Outputs)
            column.AddTo(builder, name);
        OutputSchema = builder.ToSchema();
    }

    /// <inheritdoc/>
    public DataViewSchema InputSchema { get; }

    /// <summary>The input's columns at their indexes, then the generated ones.</summary>
    public DataViewSchema OutputSchema { get; }

    internal TextGenerationTransformer Transformer { get; }

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
        return new TextGenerationRow(this, input, GetActive(activeColumns));
    }

    /// <summary>Which of the output's columns are asked for.</summary>
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
        bool generates = Generates(active);
        return InputSchema.Where(column => active[column.Index] || (generates && column.Index == _input.Index));
    }

    /// <summary>Whether a generated column is active.</summary>
    internal bool Generates(bool[] active) => active.AsSpan(InputSchema.Count).Contains(true);

    internal bool IsGenerated(DataViewSchema.Column column) => column.Index >= InputSchema.Count;

    /// <summary>Reads what to generate from out of the current row of the source; a missing text is the empty text.</summary>
    internal Func<GenerationInput> GetInputGetter(DataViewRow source) => GetInputGetter(source, source.Schema[_input.Index]);

    /// <summary>As <see cref="GetInputGetter(DataViewRow)"/>, out of a column that holds text or ids.</summary>
    internal static Func<GenerationInput> GetInputGetter(DataViewRow source, DataViewSchema.Column column)
    {
        if (TextGenerationColumns.IsTokenIds(column))
        {
            ValueGetter<VBuffer<int>> getIds = source.GetGetter<VBuffer<int>>(column);
            VBuffer<int> ids = default;
            return () =>
            {
                getIds(ref ids);
                return GenerationInput.FromTokenIds([.. ids.DenseValues()]);
            };
        }

        ValueGetter<ReadOnlyMemory<char>> getText = source.GetGetter<ReadOnlyMemory<char>>(column);
        ReadOnlyMemory<char> text = default;
        return () =>
        {
            getText(ref text);
            return GenerationInput.FromText(text.ToString());
        };
    }

    /// <summary>The getter of a generated column, given what was generated for the current row.</summary>
    internal ValueGetter<TValue> CreateGetter<TValue>(DataViewSchema.Column column, Func<GenerationResult> current) =>
        Cast<TValue>(Transformer.Columns.Outputs[column.Index - InputSchema.Count].Column.CreateGetter(current), column);

    /// <summary>A getter as the type that was asked for.</summary>
    internal static ValueGetter<TValue> Cast<TValue>(Delegate getter, DataViewSchema.Column column) =>
        getter as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Column '{column.Name}' is of type {column.Type}; it cannot be read as {typeof(TValue)}.");
}
