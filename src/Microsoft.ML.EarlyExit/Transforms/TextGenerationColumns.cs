using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>The columns of a text generation.</summary>
internal sealed class TextGenerationColumns
{
    internal const string ExpectedInput = "String, or a vector of Int32 (token ids)";

    /// <param name="input">The column to generate from; null for the one that receives the text.</param>
    /// <param name="outputs">The name of each generated column, null for those that are not wanted.</param>
    internal TextGenerationColumns(string? input, params IEnumerable<(GeneratedColumn Column, string? Name)> outputs)
    {
        List<(GeneratedColumn Column, string Name)> named = [];
        foreach ((GeneratedColumn column, string? name) in outputs)
        {
            if (name is null)
                continue;
            ArgumentException.ThrowIfNullOrWhiteSpace(name, column.Parameter);
            if (named.Find(other => other.Name == name).Column is { } other)
                throw new ArgumentException($"Column '{name}' cannot be both {other.Parameter} and {column.Parameter}: name two columns.", column.Parameter);
            named.Add((column, name));
        }

        if (named.Count == 0)
            throw new ArgumentException("No generated column is named: name at least outputColumnName.", GeneratedColumn.Text.Parameter);
        Outputs = [.. GeneratedColumn.All.SelectMany(column => named.Where(output => output.Column == column))];
        Input = !string.IsNullOrWhiteSpace(input)
            ? input
            : NameOf(GeneratedColumn.Text) ?? throw new ArgumentException("Without outputColumnName, inputColumnName must be given.", "inputColumnName");
    }

    /// <summary>The column to generate from: text, or encoder ids.</summary>
    internal string Input { get; }

    /// <summary>The generated columns that are wanted.</summary>
    internal IReadOnlyList<(GeneratedColumn Column, string Name)> Outputs { get; }

    /// <summary>The name of a generated column; null where it is not wanted.</summary>
    internal string? NameOf(GeneratedColumn column) => Outputs.FirstOrDefault(output => output.Column == column).Name;

    /// <summary>The input column of a schema, checked.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not there, or is neither text nor a vector of ids.</exception>
    internal DataViewSchema.Column FindInput(DataViewSchema inputSchema)
    {
        DataViewSchema.Column column = inputSchema.GetColumnOrNull(Input) ?? throw NotFound(nameof(inputSchema));
        return column.Type is TextDataViewType || IsTokenIds(column) ? column : throw Mismatch(nameof(inputSchema), column.Type.ToString());
    }

    /// <summary>Whether a checked input column holds ids rather than text.</summary>
    internal static bool IsTokenIds(DataViewSchema.Column input) => input.Type is VectorDataViewType { ItemType: NumberDataViewType { RawType: var type } } && type == typeof(int);

    /// <summary>As <see cref="FindInput"/>, for the shape of a schema that is not known yet.</summary>
    internal void CheckInput(SchemaShape inputSchema)
    {
        SchemaShape.Column column = inputSchema.FirstOrDefault(candidate => candidate.Name == Input);
        if (column.Name is null)
            throw NotFound(nameof(inputSchema));
        bool isScalar = column.Kind == SchemaShape.Column.VectorKind.Scalar;
        if (isScalar ? column.ItemType is not TextDataViewType : column.ItemType != NumberDataViewType.Int32)
            throw Mismatch(nameof(inputSchema), MLNetInterop.Describe(column));
    }

    /// <summary>Checks that a model can do what the columns ask of it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="input">The checked input column; null while it is not known.</param>
    /// <exception cref="InvalidModelException">They need a tokenizer, and the model has none.</exception>
    internal void CheckModel(EarlyExitModel model, DataViewSchema.Column? input)
    {
        if (model.Tokenizer is not null)
            return;
        if (NameOf(GeneratedColumn.Text) is { } text)
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so there is no text for column '{text}': name {GeneratedColumn.TokenIds.Parameter} instead of "
                + $"{GeneratedColumn.Text.Parameter}, or convert a checkpoint that has its spiece.model.");
        }

        if (input is { } column && !IsTokenIds(column))
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so it cannot generate from the text in column '{Input}': give token ids, or convert a checkpoint "
                + "that has its spiece.model.");
        }
    }

    // Type and sentences as ML.NET's own transforms have them.
    private ArgumentOutOfRangeException NotFound(string parameter) => new(parameter, $"Could not find input column '{Input}'");

    private ArgumentOutOfRangeException Mismatch(string parameter, string? actual) =>
        new(parameter, $"Schema mismatch for input column '{Input}': expected {ExpectedInput}, got {actual}");
}
