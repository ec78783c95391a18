using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>A loaded T5 that generates text with early exit. Immutable and thread-safe: one copy of the weights serves all callers.</summary>
/// <remarks>
/// Load bundles from trusted sources only: what a model generates is as trustworthy as its weights. Disposing while calls run is safe: they end as usual, and
/// the model's memory is released after the last of them.
/// </remarks>
public sealed class EarlyExitModel : IDisposable
{
    private readonly ModelBundle _bundle;
    private readonly ModelSessions _sessions;
    private readonly LanguageModelHead _head;
    private readonly Lock _lifetime = new();
    private int _runningCalls;
    private bool _isDisposed;

    private EarlyExitModel(ModelBundle bundle, EarlyExitModelOptions options)
    {
        _bundle = bundle;
        Tokenizer = bundle.Manifest.TokenizerFile is { } file ? T5Tokenizer.Load(Path.Combine(bundle.Folder, file)) : null;
        _sessions = new ModelSessions(bundle, options);
        _head = new LanguageModelHead(bundle, _sessions.ThreadCount);
    }

    /// <summary>The model's sizes.</summary>
    public T5Configuration Configuration => _bundle.Configuration;

    /// <summary>The bundle's tokenizer; null where the checkpoint had none, and inputs must be ids.</summary>
    public T5Tokenizer? Tokenizer { get; }

    /// <summary>The bundle's folder as an absolute path.</summary>
    internal string BundlePath => _bundle.Folder;

    /// <summary>The names of all files in the bundle's folder.</summary>
    internal IReadOnlyList<string> BundleFiles => _bundle.FileNames;

    /// <summary>The opened bundle, for tests and tools.</summary>
    internal ModelBundle Bundle => _bundle;

    /// <summary>The model's sessions, for tests and benchmarks.</summary>
    internal ModelSessions Sessions => _sessions;

    /// <summary>The model's LM head, for tests and benchmarks.</summary>
    internal LanguageModelHead Head => _head;

    /// <summary>Loads a bundle folder, as <c>T5Converter</c> writes it. Every file is checked against the manifest's hashes first.</summary>
    /// <param name="bundlePath">The folder.</param>
    /// <param name="options">How to load; null for the defaults.</param>
    /// <returns>The model; dispose it when done.</returns>
    /// <exception cref="ArgumentException"><paramref name="bundlePath"/> is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="InvalidModelException">The folder is no bundle, of another version, or damaged; the message says what and where.</exception>
    /// <exception cref="InvalidOperationException">ONNX Runtime's native package is missing, or the GPU asked for cannot be had.</exception>
    public static EarlyExitModel Load(string bundlePath, EarlyExitModelOptions? options = null)
    {
        ModelBundle bundle = ModelBundle.Open(bundlePath);
        try
        {
            return new EarlyExitModel(bundle, options ?? new EarlyExitModelOptions());
        }
        catch
        {
            bundle.Dispose();
            throw;
        }
    }

    /// <summary>Generates for one text.</summary>
    /// <param name="text">The text, without the options' prefix; may be empty.</param>
    /// <param name="options">How to generate; null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between operators: a call ends within milliseconds.</param>
    /// <returns>What was generated.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
    /// <exception cref="ArgumentException">The options do not fit the model, or the text is too long and may not be cut.</exception>
    /// <exception cref="InvalidOperationException">The model has no tokenizer, or computed no number for this text.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle, read when first needed, is damaged or cannot be run.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public GenerationResult Generate(string text, TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        GenerationResult result = Generate([GenerationInput.FromText(text)], options, cancellationToken)[0];
        return result.StopReason != StopReason.Error ? result
            : result.TokenIds.Count == 0 && Tokenizer is not null ? throw new ArgumentException(result.Error, nameof(text))
            : throw new InvalidOperationException(result.Error);
    }

    /// <summary>
    /// Generates for many rows, <see cref="TextGenerationOptions.BatchSize"/> side by side: where one has ended the next begins. A row that cannot be generated has
    /// <see cref="StopReason.Error"/> and does not disturb the others.
    /// </summary>
    /// <param name="inputs">The rows.</param>
    /// <param name="options">How to generate; null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between operators: a call ends within milliseconds.</param>
    /// <returns>One result per row, in order.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="inputs"/> is null.</exception>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle, read when first needed, is damaged or cannot be run.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public IReadOnlyList<GenerationResult> Generate(
        IReadOnlyList<GenerationInput> inputs, TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var results = new GenerationResult[inputs.Count];
        Generate(inputs, options ?? new TextGenerationOptions(), results, cancellationToken);
        return results;
    }

    /// <summary>As the public method, but what was finished before an exception stays in <paramref name="results"/>, null for the other rows.</summary>
    internal void Generate(
        IReadOnlyList<GenerationInput> inputs, TextGenerationOptions options, GenerationResult?[] results, CancellationToken cancellationToken)
    {
        EnterCall();
        try
        {
            (ExitPlan plan, int maxNewTokens) = Plan(options);
            if (inputs.Count > 0)
                GenerateRows(inputs, options, plan, maxNewTokens, results, cancellationToken);
        }
        catch (OnnxRuntimeException exception)
        {
            throw new InvalidModelException(
                $"ONNX Runtime could not run the model bundle '{_bundle.Folder}': {exception.Message} Unless memory ran out, convert the checkpoint again.", exception);
        }
        finally
        {
            LeaveCall();
        }
    }

    /// <summary>Releases the sessions and the weights, once no call runs any more.</summary>
    public void Dispose()
    {
        lock (_lifetime)
        {
            if (_isDisposed)
                return;
            _isDisposed = true;
            if (_runningCalls > 0)
                return;
        }

        Release();
    }

    /// <summary>Checks options against this model; throws <see cref="ArgumentException"/> where they do not fit.</summary>
    internal void CheckOptions(TextGenerationOptions options) => Plan(options);

    private (ExitPlan Plan, int MaxNewTokens) Plan(TextGenerationOptions options)
    {
        int maxNewTokens = options.MaxNewTokens ?? Configuration.MaxNewTokens ?? TextGenerationOptions.Defaults.MaxNewTokens;
        if (options.MinNewTokens > maxNewTokens)
            throw new ArgumentException($"MinNewTokens is {options.MinNewTokens}, more than MaxNewTokens, which is {maxNewTokens}.", nameof(options));
        return (ExitPlan.Create(options.Exit, Configuration.DecoderLayerCount, maxNewTokens), maxNewTokens);
    }

    private void GenerateRows(
        IReadOnlyList<GenerationInput> inputs, TextGenerationOptions options, ExitPlan plan, int maxNewTokens, GenerationResult?[] results,
        CancellationToken cancellationToken)
    {
        // Between two sessions cancellation is looked at; within one, the runtime looks at this flag between two operators.
        using var run = new RunOptions();
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, run);
        int slots = Math.Min(options.BatchSize, inputs.Count);
        using var session = new DecodingSession(_bundle, _sessions, _head, slots, plan, options, maxNewTokens, run);
        var places = new (int Index, int CutInputTokens, EncodedInput? Input)[slots];
        int next = 0;
        try
        {
            while (true)
            {
                int running = 0;
                for (int slot = 0; slot < slots; slot++)
                {
                    if (session.Row(slot) is { IsRunning: false } ended && places[slot].Input is { } input)
                    {
                        results[places[slot].Index] = ended.ToResult(Tokenizer, places[slot].CutInputTokens);
                        input.Dispose();
                        places[slot].Input = null;
                    }

                    if (places[slot].Input is null)
                        TryStartNext(slot);
                    if (places[slot].Input is not null)
                        running++;
                }

                if (running == 0)
                    return;
                session.Step(cancellationToken);
            }
        }
        catch (OnnxRuntimeException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
        finally
        {
            foreach ((_, _, EncodedInput? input) in places)
                input?.Dispose();
        }

        void TryStartNext(int slot)
        {
            for (; next < inputs.Count; next++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                PreparedInput prepared = PreparedInput.Prepare(inputs[next], Tokenizer, Configuration, options);
                if (prepared.Error is null)
                {
                    places[slot] = (next, prepared.CutTokens, EncodedInput.Encode(_sessions.Encoder, prepared.TokenIds, Configuration.ModelDimension, run));
                    session.Start(slot, places[slot].Input!);
                    next++;
                    return;
                }

                results[next] = GenerationResult.Failed(prepared.Error, hasText: Tokenizer is not null);
            }
        }
    }

    private void EnterCall()
    {
        lock (_lifetime)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _runningCalls++;
        }
    }

    private void LeaveCall()
    {
        lock (_lifetime)
        {
            if (--_runningCalls > 0 || !_isDisposed)
                return;
        }

        Release();
    }

    private void Release()
    {
        _sessions.Dispose();
        _bundle.Dispose();
    }
}
