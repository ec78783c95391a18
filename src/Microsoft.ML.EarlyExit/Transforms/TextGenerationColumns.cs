using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>The columns of a text generation.</summary>
internal sealed class TextGenerationColumns
{
    internal TextGenerationColumns(string output, string? input, string? exitLayers)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(output, "outputColumnName");
        if (exitLayers is not null)
            ArgumentException.ThrowIfNullOrWhiteSpace(exitLayers, "exitLayersColumnName");
        if (exitLayers == output)
            throw new ArgumentException($"The text and the exit layers cannot both be in column '{output}': name two columns.", "exitLayersColumnName");
        Output = output;
        Input = string.IsNullOrWhiteSpace(input) ? output : input;
        ExitLayers = exitLayers;
    }

    /// <summary>The generated text.</summary>
    internal string Output { get; }

    /// <summary>The text to generate from.</summary>
    internal string Input { get; }

    /// <summary>The exit layers, null for no such column.</summary>
    internal string? ExitLayers { get; }

    /// <summary>The input column of a schema, checked.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not there or is not text.</exception>
    internal DataViewSchema.Column FindInput(DataViewSchema inputSchema)
    {
        DataViewSchema.Column column = inputSchema.GetColumnOrNull(Input) ?? throw NotFound(nameof(inputSchema));
        return column.Type is TextDataViewType ? column : throw Mismatch(nameof(inputSchema), column.Type.ToString());
    }

    /// <summary>As <see cref="FindInput"/>, for the shape of a schema that is not known yet.</summary>
    internal void CheckInput(SchemaShape inputSchema)
    {
        SchemaShape.Column column = inputSchema.FirstOrDefault(candidate => candidate.Name == Input);
        if (column.Name is null)
            throw NotFound(nameof(inputSchema));
        if (column.Kind != SchemaShape.Column.VectorKind.Scalar || column.ItemType is not TextDataViewType)
            throw Mismatch(nameof(inputSchema), MLNetInterop.Describe(column));
    }

    // Type and sentences as ML.NET's own transforms have them.
    private ArgumentOutOfRangeException NotFound(string parameter) => new(parameter, $"Could not find input column '{Input}'");

    private ArgumentOutOfRangeException Mismatch(string parameter, string? actual) =>
        new(parameter, $"Schema mismatch for input column '{Input}': expected {TextDataViewType.Instance}, got {actual}");
}
