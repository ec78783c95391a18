using System.Text.Json;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.ModelSharing;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>The columns of a text generation.</summary>
internal sealed class TextGenerationColumns
{
    private readonly OutputColumns<GenerationResult> _outputs;

    /// <param name="input">The column to generate from; null for the one that receives the text.</param>
    /// <param name="outputs">The name of each generated column, null for those that are not wanted.</param>
    internal TextGenerationColumns(string? input, params IEnumerable<(OutputColumn<GenerationResult> Column, string? Name)> outputs)
    {
        _outputs = new OutputColumns<GenerationResult>(GeneratedColumn.All, outputs, "No generated column is named: name at least outputColumnName.");
        Input = new InputColumn(!string.IsNullOrWhiteSpace(input)
            ? input
            : NameOf(GeneratedColumn.Text) ?? throw new ArgumentException("Without outputColumnName, inputColumnName must be given.", "inputColumnName"));
    }

    /// <summary>The form in saved models.</summary>
    internal static SavedTransformer<TextGenerationColumns> Format { get; } = new(
        TextGenerationTransformer.Component,
        (columns, writer) => columns.Write(writer),
        fields => new TextGenerationColumns(fields.GetString("inputColumnName"), OutputColumns<GenerationResult>.Read(GeneratedColumn.All, fields)));

    /// <summary>The column to generate from.</summary>
    internal InputColumn Input { get; }

    /// <summary>The generated columns that are wanted.</summary>
    internal IReadOnlyList<(OutputColumn<GenerationResult> Column, string Name)> Outputs => _outputs.Named;

    /// <summary>The name of a generated column; null where it is not wanted.</summary>
    internal string? NameOf(OutputColumn<GenerationResult> column) => _outputs.NameOf(column);

    /// <summary>The shape of a schema with the generated columns added.</summary>
    internal SchemaShape AddTo(SchemaShape inputSchema)
    {
        Input.Check(inputSchema);
        return _outputs.AddTo(inputSchema);
    }

    /// <summary>Checks that a model can do what the columns ask of it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="input">The checked input column; null while it is not known.</param>
    /// <exception cref="InvalidModelException">They need a tokenizer, and the model has none.</exception>
    internal void CheckModel(EarlyExitModel model, DataViewSchema.Column? input)
    {
        if (model.Tokenizer is null && NameOf(GeneratedColumn.Text) is { } text)
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so there is no text for column '{text}': "
                + $"name {GeneratedColumn.TokenIds.Parameter} instead of {GeneratedColumn.Text.Parameter}, or convert a checkpoint that has its spiece.model.");
        }

        if (input is { } column)
            Input.CheckTokenizer(model, column);
    }

    private void Write(Utf8JsonWriter writer)
    {
        writer.WriteString("inputColumnName", Input.Name);
        _outputs.Write(writer);
    }
}
