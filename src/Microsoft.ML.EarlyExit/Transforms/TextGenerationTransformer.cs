using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.EarlyExit.ModelSharing;
using Microsoft.ML.EarlyExit.Transforms;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Generates text from a column of texts or of token ids. Immutable and thread-safe; saved with <c>mlContext.Model.Save</c> and loaded with
/// <c>mlContext.Model.Load</c>.</summary>
/// <remarks>
/// <para>Rows are generated when a generated column of theirs is read, so reading other columns never runs the model, and
/// <see cref="TextGenerationOptions.BatchSize"/> rows side by side. A row that cannot be generated makes reading its generated columns throw an
/// <see cref="InvalidOperationException"/> that names the row, unless a column of stop reasons tells. The context's log has progress, and a warning for an
/// input that had to be cut.</para>
/// <para>A saved transformer holds the whole model bundle, unless <see cref="TextGenerationEstimator.Options.SaveByReference"/> said otherwise; several of one
/// bundle in a pipeline hold it once. A loaded one unpacks it into a folder under <see cref="MLContext.TempFilePath"/>, which disposing the transformer
/// deletes. Load models from trusted sources only.</para>
/// </remarks>
public sealed class TextGenerationTransformer : ITransformer, IDisposable
{
    internal const string LoaderSignature = "EarlyExitTextGeneration";

    private readonly ModelLease _lease;

    /// <summary>Takes over <paramref name="lease"/>, unless it throws.</summary>
    internal TextGenerationTransformer(
        IHostEnvironment environment, ModelLease lease, TextGenerationColumns columns, TextGenerationOptions generationOptions, string? referencePath,
        AttachedStream? attachment = null)
    {
        lease.Model.CheckOptions(generationOptions);
        columns.CheckModel(lease.Model, input: null);
        Host = environment.Register(nameof(TextGenerationTransformer));
        Columns = columns;
        GenerationOptions = generationOptions;
        ReferencePath = referencePath;
        Attachment = attachment;
        _lease = lease;
    }

    /// <summary>The model, for generating without a data view, token by token for instance. It lives as long as the transformer, which disposes it.</summary>
    public EarlyExitModel Model => _lease.Model;

    /// <summary>How text is generated.</summary>
    public TextGenerationOptions GenerationOptions { get; }

    internal static SavedComponent Component { get; } = new("text generation", "EXITTEXT", LoaderSignature, 0x00010001);

    internal IHost Host { get; }

    internal TextGenerationColumns Columns { get; }

    /// <summary>The bundle's path that is saved in the bundle's place; null where the bundle itself is saved.</summary>
    internal string? ReferencePath { get; }

    /// <summary>What is saved beside it, of which it knows nothing; null for nothing.</summary>
    internal AttachedStream? Attachment { get; }

    /// <summary>Whether a column tells of rows that could not be generated.</summary>
    internal bool ReportsErrors => Columns.NameOf(GeneratedColumn.StopReason) is not null;

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>Releases the model, unless it was given to the estimator or another transformer shares it, and with it the folder a loaded transformer
    /// unpacked. Data views made with the transformer end with it: what is being read from them throws an <see cref="ObjectDisposedException"/> where it needs
    /// the model.</summary>
    public void Dispose() => _lease.Dispose();

    /// <summary>Makes the sessions that generating needs, so that the first row takes no longer than others; see <see cref="EarlyExitModel.WarmUp"/>.</summary>
    /// <param name="options">How will be generated; null for <see cref="GenerationOptions"/>.</param>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle is damaged or cannot be run.</exception>
    /// <exception cref="InvalidOperationException">Memory ran out, or the GPU cannot be used.</exception>
    /// <exception cref="ObjectDisposedException">The transformer is disposed.</exception>
    public void WarmUp(TextGenerationOptions? options = null)
    {
        ThrowIfDisposed();
        Model.WarmUp(options ?? GenerationOptions);
    }

    /// <summary>The schema of <see cref="Transform"/>'s data view: the input's columns, then the generated ones.</summary>
    /// <param name="inputSchema">The schema of the input.</param>
    /// <returns>The schema of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing, or is neither text nor a vector of ids.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => new TextGenerationMapper(this, inputSchema).OutputSchema;

    /// <summary>A view of the data with the generated columns; nothing runs until rows are read from it.</summary>
    /// <param name="input">The data.</param>
    /// <returns>The view; the transformer must outlive it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing, or is neither text nor a vector of ids.</exception>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new ResultDataView<GenerationResult>(input, new TextGenerationMapper(this, input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new TextGenerationMapper(this, inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        ThrowIfDisposed();
        TextGenerationColumns.Format.Save(ctx, Model.Bundle, Columns, GenerationOptions, ReferencePath);
        if (Attachment is { } attachment)
            MLNetInterop.SaveStream(ctx, attachment.Name, stream => stream.Write(attachment.Content));
        GC.KeepAlive(this);
    }

    /// <summary>The same, over the same model, with another policy, and with what is saved beside it.</summary>
    internal TextGenerationTransformer With(ExitPolicy? policy, AttachedStream attachment)
    {
        ModelLease lease = _lease.Share();
        try
        {
            return new TextGenerationTransformer(Host, lease, Columns, GenerationOptions with { Exit = policy }, ReferencePath, attachment);
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_lease.IsReleased, this);

    /// <summary>Loads what <see cref="ICanSaveModel.Save"/> saved.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="streams">What was saved.</param>
    /// <param name="attachment">What was saved beside it; null for nothing.</param>
    internal static TextGenerationTransformer Load(IHostEnvironment environment, SavedStreams streams, AttachedStream? attachment) =>
        TextGenerationColumns.Format.Load(
            environment,
            streams,
            (lease, columns, options, referencePath) => new TextGenerationTransformer(environment, lease, columns, options, referencePath, attachment));
}
