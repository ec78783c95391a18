using System.Text.Json;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.ModelSharing;

namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>The columns of a layer scoring.</summary>
internal sealed class LayerScoringColumns
{
    private readonly OutputColumns<ScoredTarget> _outputs;

    /// <param name="input">The column of inputs.</param>
    /// <param name="target">The column of targets.</param>
    /// <param name="outputs">The name of each column of scores, null for those that are not wanted.</param>
    internal LayerScoringColumns(string? input, string? target, params IEnumerable<(OutputColumn<ScoredTarget> Column, string? Name)> outputs)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(input, "inputColumnName");
        ArgumentException.ThrowIfNullOrWhiteSpace(target, "targetColumnName");
        _outputs = new OutputColumns<ScoredTarget>(ScoredColumn.All, outputs, "No column of scores is named: name at least argMaxColumnName.");
        Input = new InputColumn(input);
        Target = new InputColumn(target, "target");
    }

    /// <summary>The form in saved models.</summary>
    internal static SavedTransformer<LayerScoringColumns> Format { get; } = new(
        LayerScoringTransformer.Component,
        (columns, writer) => columns.Write(writer),
        fields => new LayerScoringColumns(
            fields.GetString("inputColumnName"), fields.GetString("targetColumnName"), OutputColumns<ScoredTarget>.Read(ScoredColumn.All, fields)));

    /// <summary>The column of inputs.</summary>
    internal InputColumn Input { get; }

    /// <summary>The column of targets.</summary>
    internal InputColumn Target { get; }

    /// <summary>The columns of scores that are wanted.</summary>
    internal IReadOnlyList<(OutputColumn<ScoredTarget> Column, string Name)> Outputs => _outputs.Named;

    /// <summary>The shape of a schema with the scores added.</summary>
    internal SchemaShape AddTo(SchemaShape inputSchema)
    {
        Input.Check(inputSchema);
        Target.Check(inputSchema);
        return _outputs.AddTo(inputSchema);
    }

    private void Write(Utf8JsonWriter writer)
    {
        writer.WriteString("inputColumnName", Input.Name);
        writer.WriteString("targetColumnName", Target.Name);
        _outputs.Write(writer);
    }
}
