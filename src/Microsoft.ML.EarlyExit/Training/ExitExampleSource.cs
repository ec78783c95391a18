using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>What examples are made of: rows with an input and a target, and a model.</summary>
/// <param name="Data">The rows.</param>
/// <param name="InputColumnName">The column of inputs: text, or encoder ids.</param>
/// <param name="TargetColumnName">The column of targets: text, or ids.</param>
/// <param name="Model">The model.</param>
/// <param name="Generation">How inputs become ids, and how long targets may be.</param>
/// <param name="MinimumLayer">The first layer that gives examples; the last is the one before the decoder's last.</param>
/// <param name="Sampling">Which rows are held out, which positions are kept.</param>
/// <param name="Host">Takes progress and warnings.</param>
internal sealed record ExitExampleSource(
    IDataView Data, string InputColumnName, string TargetColumnName, EarlyExitModel Model, TextGenerationOptions Generation, int MinimumLayer,
    ExampleSampling Sampling, IHost Host)
{
    public int LayerCount => Model.Configuration.DecoderLayerCount - MinimumLayer;

    public DataViewSchema.Column Input => Find(InputColumnName);

    public DataViewSchema.Column Target => Find(TargetColumnName);

    /// <summary>Whether the targets were generated, so that what had to be said of the inputs has been said.</summary>
    public bool HasGeneratedTargets { get; init; }

    /// <summary>Checks a column of the data.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not there, or holds neither text nor ids.</exception>
    /// <exception cref="InvalidModelException">It holds text, and the model has no tokenizer.</exception>
    public static void CheckColumn(IDataView data, string name, string kind, EarlyExitModel model)
    {
        if (data.Schema.GetColumnOrNull(name) is not { } column)
            throw new ArgumentOutOfRangeException(nameof(data), $"Could not find {kind} column '{name}'");
        bool isText = column.Type is TextDataViewType;
        if (!isText && !TextGenerationColumns.IsTokenIds(column))
        {
            throw new ArgumentOutOfRangeException(
                nameof(data), $"Schema mismatch for {kind} column '{name}': expected {TextGenerationColumns.ExpectedInput}, got {column.Type}");
        }

        if (isText && model.Tokenizer is null)
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so it cannot read the text in {kind} column '{name}': give token ids, or convert a "
                + "checkpoint that has its spiece.model.");
        }
    }

    private DataViewSchema.Column Find(string name) => Data.Schema[name];
}
