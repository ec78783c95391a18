using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Generates text from a text column. Immutable and thread-safe; saved with <c>mlContext.Model.Save</c> and loaded with
/// <c>mlContext.Model.Load</c>.</summary>
/// <remarks>
/// <para>Rows are generated when a generated column of theirs is read, so reading other columns never runs the model, and
/// <see cref="TextGenerationOptions.BatchSize"/> rows at a time. A row that cannot be generated makes reading its generated columns throw an
/// <see cref="InvalidOperationException"/> that names the row. An input that had to be cut is a warning in the context's log.</para>
/// <para>A saved transformer holds the whole model bundle. A loaded one unpacks it into a folder under <see cref="MLContext.TempFilePath"/>, which
/// disposing the
/// transformer deletes. Load models from trusted sources only.</para>
/// </remarks>
public sealed class TextGenerationTransformer : ITransformer, IDisposable
{
    private readonly EarlyExitModel _model;
    private readonly bool _ownsModel;
    private readonly TemporaryFolder? _folder;
    private int _disposed;

    /// <summary>Takes over <paramref name="folder"/>, and the model where <paramref name="ownsModel"/> says so, unless it throws.</summary>
    internal TextGenerationTransformer(
        IHostEnvironment environment,
        EarlyExitModel model,
        bool ownsModel,
        TextGenerationColumns columns,
        TextGenerationOptions options,
        TemporaryFolder? folder = null)
    {
        if (model.Tokenizer is null)
        {
            throw new InvalidModelException(
                $"The model bundle {model.BundlePath} has no tokenizer, so it cannot generate from text: convert a checkpoint that has its spiece.model.");
        }

        options.Exit?.Validate(model.Configuration.DecoderLayerCount);
        Host = environment.Register(nameof(TextGenerationTransformer));
        Columns = columns;
        Options = options;
        _model = model;
        _ownsModel = ownsModel;
        _folder = folder;
    }

    internal IHost Host { get; }

    internal TextGenerationColumns Columns { get; }

    internal TextGenerationOptions Options { get; }

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>Releases the model, unless it was given to the estimator, and the folder a loaded transformer unpacked. Data views made with the
    /// transformer end with it.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        if (_ownsModel)
            _model.Dispose();

        // After the model: Windows does not delete files that are mapped.
        _folder?.Dispose();
    }

    /// <summary>The schema of <see cref="Transform"/>'s data view: the input's columns, then the text and, where it is named, the column of exit
    /// layers.</summary>
    /// <param name="inputSchema">The schema of the input.</param>
    /// <returns>The schema of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing or is not text.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => new TextGenerationMapper(this, inputSchema).OutputSchema;

    /// <summary>A view of the data with the generated columns; nothing runs until rows are read from it.</summary>
    /// <param name="input">The data.</param>
    /// <returns>The view; the transformer must outlive it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing or is not text.</exception>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new TextGenerationDataView(input, new TextGenerationMapper(this, input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new TextGenerationMapper(this, inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        MLNetInterop.BeginSaveTextGeneration(ctx);
        SavedTextGeneration.Save((name, write) => MLNetInterop.SaveStream(ctx, name, write), Columns, Options, _model.BundlePath, _model.BundleFiles);
        GC.KeepAlive(this);
    }

    /// <summary>Generates for rows, in their order.</summary>
    internal IReadOnlyList<GenerationResult> Generate(IReadOnlyList<GenerationInput> inputs)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        IReadOnlyList<GenerationResult> results = _model.Generate(inputs, Options);

        // The files of a loaded model live as long as the transformer.
        GC.KeepAlive(this);
        return results;
    }

    /// <summary>Loads what <see cref="ICanSaveModel.Save"/> saved.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="tryReadStream">Hands a saved stream to a reader, false where there is none of that name.</param>
    internal static TextGenerationTransformer Load(IHostEnvironment environment, Func<string, Action<Stream>, bool> tryReadStream)
    {
        var folder = new TemporaryFolder(MLNetInterop.GetTempPath(environment));
        try
        {
            (TextGenerationColumns columns, TextGenerationOptions options) = SavedTextGeneration.Load(tryReadStream, folder.Path);
            return LoadBundle(environment, folder.Path, null, columns, options, folder);
        }
        catch (InvalidModelException exception) when (exception.InnerException is not null)
        {
            // ML.NET wraps what is thrown here, so users look at the innermost exception: it must be the one with our message.
            folder.Dispose();
            throw new InvalidModelException(exception.Message);
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>A transformer with a model of its own.</summary>
    internal static TextGenerationTransformer LoadBundle(
        IHostEnvironment environment,
        string bundlePath,
        EarlyExitModelOptions? modelOptions,
        TextGenerationColumns columns,
        TextGenerationOptions options,
        TemporaryFolder? folder = null)
    {
        modelOptions ??= new EarlyExitModelOptions();
        if (modelOptions.GpuDeviceId is null && MLNetInterop.GetDevice(environment) is (int device, var fallbackToCpu))
            modelOptions = modelOptions with { GpuDeviceId = device, FallbackToCpu = fallbackToCpu };
        EarlyExitModel model = EarlyExitModel.Load(bundlePath, modelOptions);
        try
        {
            return new TextGenerationTransformer(environment, model, ownsModel: true, columns, options, folder);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }
}
