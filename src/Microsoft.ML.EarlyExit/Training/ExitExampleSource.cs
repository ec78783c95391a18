using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Training;

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

    /// <summary>Ends the reading of rows, and the run of one.</summary>
    public CancellationToken CancellationToken { get; init; }

    /// <summary>Checks a column of the data.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not there, or holds neither text nor ids.</exception>
    /// <exception cref="InvalidModelException">It holds text, and the model has no tokenizer.</exception>
    public static void CheckColumn(IDataView data, InputColumn column, EarlyExitModel model) =>
        column.CheckTokenizer(model, column.Find(data.Schema, nameof(data)));

    private DataViewSchema.Column Find(string name) => Data.Schema[name];
}
