using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>A transformer bound to a schema: which columns are passed through, which are generated, and from which.</summary>
internal sealed class TextGenerationMapper : IRowToRowMapper
{
    private readonly DataViewSchema.Column _input;
    private readonly int _exitLayersColumn;

    internal TextGenerationMapper(TextGenerationTransformer transformer, DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        Transformer = transformer;
        InputSchema = inputSchema;
        _input = transformer.Columns.FindInput(inputSchema);

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        builder.AddColumn(transformer.Columns.Output, TextDataViewType.Instance);
        _exitLayersColumn = inputSchema.Count + 1;
        if (transformer.Columns.ExitLayers is { } exitLayers)
            builder.AddColumn(exitLayers, new VectorDataViewType(NumberDataViewType.Int32));
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

    /// <summary>Reads the text to generate from out of a row of the source; a missing value is the empty text.</summary>
    internal ValueGetter<ReadOnlyMemory<char>> GetInputGetter(DataViewRow source) => source.GetGetter<ReadOnlyMemory<char>>(source.Schema[_input.Index]);

    /// <summary>The getter of a generated column, given what was generated for the current row.</summary>
    internal Delegate CreateGetter(DataViewSchema.Column column, Func<GenerationResult> current)
    {
        if (column.Index != _exitLayersColumn)
            return (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = current().Text.AsMemory());

        return (ValueGetter<VBuffer<int>>)((ref VBuffer<int> value) =>
        {
            IReadOnlyList<int> layers = current().ExitLayers;
            VBufferEditor<int> editor = VBufferEditor.Create(ref value, layers.Count);
            for (int i = 0; i < layers.Count; i++)
                editor.Values[i] = layers[i];
            value = editor.Commit();
        });
    }

    /// <summary>A getter as the type that was asked for.</summary>
    internal static ValueGetter<TValue> Cast<TValue>(Delegate getter, DataViewSchema.Column column) =>
        getter as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Column '{column.Name}' is of type {column.Type}; it cannot be read as {typeof(TValue)}.");
}
