using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.EarlyExit.ModelSharing;
using Microsoft.ML.EarlyExit.Scoring;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Scores targets at every decoder layer, from columns of texts or of token ids. Immutable and thread-safe; saved with <c>mlContext.Model.Save</c> and
/// loaded with <c>mlContext.Model.Load</c>.</summary>
/// <remarks>
/// <para>A row is scored when a column of its scores is read, once for all of them, so reading other columns never runs the model. A row that cannot be scored
/// (the target is empty or too long, an id is outside the vocabulary, the model computes a NaN or an infinity) makes reading its scores throw an
/// <see cref="InvalidOperationException"/> that names the row. The context's log has progress, and a warning for an input that had to be cut.</para>
/// <para>A saved transformer holds the whole model bundle, unless <see cref="LayerScoringEstimator.Options.SaveByReference"/> said otherwise; several of one
/// bundle in a pipeline hold it once, text generations counted. A loaded one unpacks it into a folder under <see cref="MLContext.TempFilePath"/>, which
/// disposing the transformer deletes. Load models from trusted sources only.</para>
/// </remarks>
public sealed class LayerScoringTransformer : ITransformer, IDisposable
{
    internal const string LoaderSignature = "EarlyExitLayerScoring";

    private readonly ModelLease _lease;

    /// <summary>Takes over <paramref name="lease"/>, unless it throws.</summary>
    internal LayerScoringTransformer(
        IHostEnvironment environment, ModelLease lease, LayerScoringColumns columns, TextGenerationOptions generationOptions, string? referencePath)
    {
        LayerScorer.Check(lease.Model, generationOptions.Exit);
        Host = environment.Register(nameof(LayerScoringTransformer));
        Columns = columns;
        GenerationOptions = generationOptions;
        ReferencePath = referencePath;
        _lease = lease;
    }

    /// <summary>The model. It lives as long as the transformer, which disposes it.</summary>
    public EarlyExitModel Model => _lease.Model;

    /// <summary>How inputs are read, and the measure; see <see cref="LayerScoringEstimator.Options.GenerationOptions"/>.</summary>
    public TextGenerationOptions GenerationOptions { get; }

    internal static SavedComponent Component { get; } = new("layer scoring", "EXITSCOR", LoaderSignature, 0x00010001);

    internal IHost Host { get; }

    internal LayerScoringColumns Columns { get; }

    /// <summary>The bundle's path that is saved in the bundle's place; null where the bundle itself is saved.</summary>
    internal string? ReferencePath { get; }

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>Releases the model, unless it was given to the estimator or another transformer shares it, and with it the folder a loaded transformer
    /// unpacked. Data views made with the transformer end with it: what is being read from them throws an <see cref="ObjectDisposedException"/> where it needs
    /// the model.</summary>
    public void Dispose() => _lease.Dispose();

    /// <summary>Makes the sessions that scoring needs, so that the first row takes no longer than others.</summary>
    /// <exception cref="InvalidModelException">A graph of the bundle is damaged or cannot be run.</exception>
    /// <exception cref="InvalidOperationException">Memory ran out, or the GPU cannot be used.</exception>
    /// <exception cref="ObjectDisposedException">The transformer is disposed.</exception>
    public void WarmUp()
    {
        ThrowIfDisposed();
        Model.WarmUpScoring();
    }

    /// <summary>The schema of <see cref="Transform"/>'s data view: the input's columns, then the scores.</summary>
    /// <param name="inputSchema">The schema of the input.</param>
    /// <returns>The schema of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input or target column is missing, or is neither text nor a vector of ids.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => new LayerScoringMapper(this, inputSchema).OutputSchema;

    /// <summary>A view of the data with the scores; nothing runs until rows are read from it.</summary>
    /// <param name="input">The data.</param>
    /// <returns>The view; the transformer must outlive it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input or target column is missing, or is neither text nor a vector of ids.</exception>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new ResultDataView<ScoredTarget>(input, new LayerScoringMapper(this, input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new LayerScoringMapper(this, inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        ThrowIfDisposed();
        LayerScoringColumns.Format.Save(ctx, Model.Bundle, Columns, GenerationOptions, ReferencePath);
        GC.KeepAlive(this);
    }

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_lease.IsReleased, this);

    /// <summary>Loads what <see cref="ICanSaveModel.Save"/> saved.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="streams">What was saved.</param>
    internal static LayerScoringTransformer Load(IHostEnvironment environment, SavedStreams streams) => LayerScoringColumns.Format.Load(
        environment,
        streams,
        (lease, columns, options, referencePath) => new LayerScoringTransformer(environment, lease, columns, options, referencePath));
}
