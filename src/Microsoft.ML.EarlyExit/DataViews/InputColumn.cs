using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Interop;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>A column that is read: text, or token ids.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it is for, in messages.</param>
internal sealed record InputColumn(string Name, string Kind = "input")
{
    private const string Expected = "String, or a vector of Int32 (token ids)";

    /// <summary>The column of a schema, checked.</summary>
    /// <param name="schema">The schema.</param>
    /// <param name="parameter">The caller's name for what has the schema.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is not there, or is neither text nor a vector of ids.</exception>
    internal DataViewSchema.Column Find(DataViewSchema schema, string parameter = "inputSchema")
    {
        ArgumentNullException.ThrowIfNull(schema, parameter);
        DataViewSchema.Column column = schema.GetColumnOrNull(Name) ?? throw NotFound(parameter);
        return column.Type is TextDataViewType || IsTokenIds(column) ? column : throw Mismatch(parameter, column.Type.ToString());
    }

    /// <summary>As <see cref="Find"/>, for the shape of a schema that is not known yet.</summary>
    internal void Check(SchemaShape inputSchema)
    {
        SchemaShape.Column column = inputSchema.FirstOrDefault(candidate => candidate.Name == Name);
        if (column.Name is null)
            throw NotFound(nameof(inputSchema));
        bool isScalar = column.Kind == SchemaShape.Column.VectorKind.Scalar;
        if (isScalar ? column.ItemType is not TextDataViewType : column.ItemType != NumberDataViewType.Int32)
            throw Mismatch(nameof(inputSchema), MLNetInterop.Describe(column));
    }

    /// <summary>Checks that a model can read the column.</summary>
    /// <exception cref="InvalidModelException">It holds text, and the model has no tokenizer.</exception>
    internal void CheckTokenizer(EarlyExitModel model, DataViewSchema.Column column)
    {
        if (model.Tokenizer is null && !IsTokenIds(column))
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so it cannot read the text in {Kind} column '{Name}': give token ids, "
                + "or convert a checkpoint that has its spiece.model.");
        }
    }

    /// <summary>Reads a row's value out of a checked column.</summary>
    internal static Func<GenerationInput> CreateGetter(DataViewRow source, DataViewSchema.Column column)
    {
        if (IsTokenIds(column))
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
            return ReferenceReader.IsMissing(text) ? GenerationInput.Missing : GenerationInput.FromText(text.ToString());
        };
    }

    private static bool IsTokenIds(DataViewSchema.Column column) =>
        column.Type is VectorDataViewType { ItemType: NumberDataViewType { RawType: var type } } && type == typeof(int);

    // Type and sentences as ML.NET's own transforms have them.
    private ArgumentOutOfRangeException NotFound(string parameter) => new(parameter, $"Could not find {Kind} column '{Name}'");

    private ArgumentOutOfRangeException Mismatch(string parameter, string? actual) =>
        new(parameter, $"Schema mismatch for {Kind} column '{Name}': expected {Expected}, got {actual}");
}
