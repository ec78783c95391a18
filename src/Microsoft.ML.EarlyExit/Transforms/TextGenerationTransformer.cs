using System.Diagnostics;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Generates text from a column of texts or of token ids. Immutable and thread-safe; saved with <c>mlContext.Model.Save</c> and loaded with
/// <c>mlContext.Model.Load</c>.</summary>
/// <remarks>
/// <para>Rows are generated when a generated column of theirs is read, so reading other columns never runs the model, and
/// <see cref="TextGenerationOptions.BatchSize"/> rows side by side. A row that cannot be generated makes reading its generated columns throw an
/// <see cref="InvalidOperationException"/> that names the row, unless a column of stop reasons tells. The context's log has progress, and a warning for an input
/// that had to be cut.</para>
/// <para>A saved transformer holds the whole model bundle, unless <see cref="TextGenerationEstimator.Options.SaveByReference"/> said otherwise; several of one bundle in a
/// pipeline hold it once. A loaded one unpacks it into a folder under <see cref="MLContext.TempFilePath"/>, which disposing the transformer deletes. Load models from
/// trusted sources only.</para>
/// </remarks>
public sealed class TextGenerationTransformer : ITransformer, IDisposable
{
    private readonly ModelLease _lease;
    private int _disposed;

    /// <summary>Takes over <paramref name="lease"/>, unless it throws.</summary>
    internal TextGenerationTransformer(
        IHostEnvironment environment, ModelLease lease, TextGenerationColumns columns, TextGenerationOptions generationOptions, string? referencePath,
        CalibrationCertificate? certificate = null)
    {
        lease.Model.CheckOptions(generationOptions);
        columns.CheckModel(lease.Model, input: null);
        Host = environment.Register(nameof(TextGenerationTransformer));
        Columns = columns;
        GenerationOptions = generationOptions;
        ReferencePath = referencePath;
        Certificate = certificate;
        _lease = lease;
    }

    /// <summary>The model, for generating without a data view, token by token for instance. It lives as long as the transformer, which disposes it.</summary>
    public EarlyExitModel Model => _lease.Model;

    /// <summary>How text is generated.</summary>
    public TextGenerationOptions GenerationOptions { get; }

    /// <summary>What the policy was certified for; null where it was not calibrated. Saved and loaded with the transformer.</summary>
    public CalibrationCertificate? Certificate { get; }

    internal IHost Host { get; }

    internal TextGenerationColumns Columns { get; }

    /// <summary>The bundle's path that is saved in the bundle's place; null where the bundle itself is saved.</summary>
    internal string? ReferencePath { get; }

    /// <summary>Whether a column tells of rows that could not be generated.</summary>
    internal bool ReportsErrors => Columns.NameOf(GeneratedColumn.StopReason) is not null;

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>Releases the model, unless it was given to the estimator or another transformer shares it, and with it the folder a loaded transformer unpacked. Data
    /// views made with the transformer end with it: what is being read from them throws an <see cref="ObjectDisposedException"/> where it needs the model.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            _lease.Dispose();
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
        return new TextGenerationDataView(input, new TextGenerationMapper(this, input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new TextGenerationMapper(this, inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        ThrowIfDisposed();
        MLNetInterop.BeginSaveTextGeneration(ctx);
        bool isStored = ReferencePath is null && !MLNetInterop.TryMarkStored(ctx, Model.Bundle.Identity);
        SavedTextGeneration.Save((name, write) => MLNetInterop.SaveStream(ctx, name, write), this, isStored);
        GC.KeepAlive(this);
    }

    /// <summary>The same with the policy that a certificate certifies. It takes over this transformer's model, and this one counts as disposed.</summary>
    internal TextGenerationTransformer Calibrate(CalibrationCertificate certificate)
    {
        var calibrated = new TextGenerationTransformer(Host, _lease, Columns, GenerationOptions with { Exit = certificate.Policy }, ReferencePath, certificate);
        _disposed = 1;
        return calibrated;
    }

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_disposed != 0, this);

    /// <summary>Loads what <see cref="ICanSaveModel.Save"/> saved.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="tryReadStream">Hands a saved stream to a reader, false where there is none of that name.</param>
    internal static TextGenerationTransformer Load(IHostEnvironment environment, Func<string, Action<Stream>, bool> tryReadStream)
    {
        try
        {
            SavedTextGeneration saved = SavedTextGeneration.Read(tryReadStream);
            ModelLease lease = LoadModel(environment, saved, tryReadStream);
            try
            {
                return new TextGenerationTransformer(environment, lease, saved.Columns, saved.Options, saved.ReferencePath, saved.Certificate);
            }
            catch
            {
                lease.Dispose();
                throw;
            }
        }
        catch (InvalidModelException exception) when (exception.InnerException is not null)
        {
            // ML.NET wraps what is thrown here, so users look at the innermost exception: it must be the one with our message.
            throw new InvalidModelException(exception.Message);
        }
    }

    /// <summary>Loads a bundle, or shares it with whoever has loaded it.</summary>
    internal static ModelLease LoadModel(
        IHostEnvironment environment, string bundlePath, EarlyExitModelOptions? options, TemporaryFolder? folder = null, string? identity = null)
    {
        long start = Stopwatch.GetTimestamp();
        ModelLease lease = ModelLease.Load(bundlePath, Complete(options, environment), folder, identity);
        T5Configuration sizes = lease.Model.Configuration;
        using IChannel channel = environment.Start("Loading the model");
        channel.Info(
            MessageSensitivity.None,
            $"{(lease.WasLoaded ? "Shares the loaded" : "Loaded the")} model bundle '{lease.Model.Bundle.Folder}': {sizes.EncoderLayerCount} encoder and {sizes.DecoderLayerCount} decoder "
            + $"layers of width {sizes.ModelDimension}, {sizes.VocabularySize} tokens, in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms.");
        return lease;
    }

    private static ModelLease LoadModel(IHostEnvironment environment, SavedTextGeneration saved, Func<string, Action<Stream>, bool> tryReadStream)
    {
        if (saved.ReferencePath is { } path)
        {
            if (!Directory.Exists(path))
            {
                throw new DirectoryNotFoundException(
                    $"The model was saved by reference to its bundle at '{path}', and there is no folder at '{Path.GetFullPath(path)}'. Put the bundle there, or save with the bundle inside.");
            }

            return LoadModel(environment, path, null, identity: saved.Identity);
        }

        // The transform of the same saved model that has the bundle was loaded just before.
        if (saved.Files.Count == 0)
            return ModelLease.TryShareLoaded(saved.Identity, Complete(null, environment)) ?? throw SavedTextGeneration.BundleIsMissing();

        var folder = new TemporaryFolder(MLNetInterop.GetTempPath(environment));
        try
        {
            saved.Unpack(tryReadStream, folder.Path);
        }
        catch
        {
            folder.Dispose();
            throw;
        }

        return LoadModel(environment, folder.Path, null, folder, saved.Identity);
    }

    /// <summary>Options with the devices of the environment, where they name none.</summary>
    private static EarlyExitModelOptions Complete(EarlyExitModelOptions? options, IHostEnvironment environment)
    {
        options ??= new EarlyExitModelOptions();
        return options.GpuDeviceId is null && MLNetInterop.GetDevice(environment) is (int device, var fallbackToCpu)
            ? options with { GpuDeviceId = device, FallbackToCpu = fallbackToCpu }
            : options;
    }
}
