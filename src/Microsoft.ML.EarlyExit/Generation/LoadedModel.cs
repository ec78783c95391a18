using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// An opened bundle with all that generating needs: sessions, LM head and tokenizer. Thread-safe. What runs keeps it alive: it is released after the last call.
/// </summary>
internal sealed class LoadedModel : IDisposable
{
    private readonly Type _face;
    private readonly Lock _lifetime = new();
    private int _runningCalls;
    private bool _isDisposed;

    /// <summary>Takes over the bundle, also where this fails.</summary>
    /// <param name="bundle">The bundle.</param>
    /// <param name="options">How to load.</param>
    /// <param name="face">The class that users hold: what is disposed for them.</param>
    /// <param name="standIn">A device in the place of the CUDA device that the options name.</param>
    public LoadedModel(ModelBundle bundle, EarlyExitModelOptions options, Type face, ExecutionDevice? standIn = null)
    {
        _face = face;
        Bundle = bundle;
        try
        {
            Tokenizer = bundle.Manifest.TokenizerFile is { } file
                ? T5Tokenizer.Load(
                    new MemoryStream(bundle.ReadFile(file, SentencepieceModel.MaxFileBytes)), bundle.NameOf(file), bundle.Configuration.PadTokenId,
                    bundle.Manifest.Tokenizer)
                : null;
            Sessions = new ModelSessions(bundle, options, standIn);
            Head = new LanguageModelHead(bundle, Sessions.ThreadCount);
            Head.Device = Sessions.CreateHead();
            if (Head.Device is not null)
                return;
            using OnnxThreadPool.Lane lane = Sessions.ThreadPool.CreateLane();
            Head.MakeScreen(lane);
        }
        catch
        {
            Head?.Dispose();
            Sessions?.Dispose();
            bundle.Dispose();
            throw;
        }
    }

    /// <summary>The opened bundle.</summary>
    public ModelBundle Bundle { get; }

    /// <summary>The model's sessions.</summary>
    public ModelSessions Sessions { get; }

    /// <summary>The model's LM head.</summary>
    public LanguageModelHead Head { get; }

    /// <summary>The bundle's tokenizer; null where the checkpoint had none.</summary>
    public T5Tokenizer? Tokenizer { get; }

    public T5Configuration Configuration => Bundle.Configuration;

    /// <summary>Makes the sessions that generating with some options needs.</summary>
    public void WarmUp(TextGenerationOptions options)
    {
        Enter();
        try
        {
            Sessions.Prepare(Resolve(options).Plan);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Makes the sessions that scoring targets needs.</summary>
    public void WarmUpScoring()
    {
        Enter();
        try
        {
            Sessions.PrepareScoring();
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>An empty batch, which keeps the model alive until it is disposed.</summary>
    /// <param name="options">How to generate.</param>
    /// <param name="slots">How many rows can run side by side.</param>
    /// <param name="ended">Takes the result of every row, in the order in which they end.</param>
    /// <param name="cancellationToken">Looked at between operators.</param>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public GenerationBatch StartBatch(TextGenerationOptions options, int slots, Action<long, GenerationResult> ended, CancellationToken cancellationToken)
    {
        Enter();
        try
        {
            (TextGenerationOptions resolved, ExitPlan plan) = Resolve(options);
            return new GenerationBatch(this, resolved, slots, plan, MaxNewTokens(resolved), ended, cancellationToken);
        }
        catch
        {
            Leave();
            throw;
        }
    }

    /// <summary>The model's layers over given targets; keeps the model alive until it is disposed.</summary>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public TeacherForcedRun StartTeacherForcing()
    {
        Enter();
        try
        {
            return new TeacherForcedRun(this);
        }
        catch
        {
            Leave();
            throw;
        }
    }

    /// <summary>After how many tokens a row ends at the latest.</summary>
    public int MaxNewTokens(TextGenerationOptions options) =>
        options.MaxNewTokens ?? Configuration.MaxNewTokens ?? TextGenerationOptions.Defaults.MaxNewTokens;

    /// <summary>A row's encoder ids, or why there are none.</summary>
    public PreparedInput Prepare(GenerationInput input, TextGenerationOptions options) => PreparedInput.Prepare(input, Tokenizer, Configuration, options);

    /// <summary>Checks options against this model; throws <see cref="ArgumentException"/> where they do not fit.</summary>
    public void CheckOptions(TextGenerationOptions options) => Resolve(options);

    /// <summary>Checks that the logits of all rows together are within the reach of a span.</summary>
    /// <exception cref="ArgumentException">They are not.</exception>
    public static void CheckBatchSize(TextGenerationOptions options, T5Configuration configuration)
    {
        int most = int.MaxValue / configuration.VocabularySize;
        if (options.BatchSize > most)
        {
            throw new ArgumentException(
                $"BatchSize is {options.BatchSize}; with a vocabulary of {configuration.VocabularySize} tokens it can be at most {most}.", nameof(options));
        }
    }

    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void ThrowIfDisposed()
    {
        lock (_lifetime)
            ObjectDisposedException.ThrowIf(_isDisposed, _face);
    }

    /// <summary>Ends what <see cref="StartBatch"/> or <see cref="StartTeacherForcing"/> began.</summary>
    public void Leave()
    {
        lock (_lifetime)
        {
            if (--_runningCalls > 0 || !_isDisposed)
                return;
        }

        Release();
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

    /// <summary>The options with the checkpoint's own values where they say nothing, and what their policy plans.</summary>
    private (TextGenerationOptions Options, ExitPlan Plan) Resolve(TextGenerationOptions options)
    {
        int maxNewTokens = MaxNewTokens(options);
        if (options.MinNewTokens > maxNewTokens)
            throw new ArgumentException($"MinNewTokens is {options.MinNewTokens}, more than MaxNewTokens, which is {maxNewTokens}.", nameof(options));
        CheckBatchSize(options, Configuration);
        return (options.For(Configuration), ExitPlan.Create(options.Exit, Configuration, maxNewTokens));
    }

    private void Enter()
    {
        lock (_lifetime)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, _face);
            _runningCalls++;
        }

        try
        {
            Bundle.CheckUnchanged();
        }
        catch
        {
            Leave();
            throw;
        }
    }

    private void Release()
    {
        Head.Dispose();
        Sessions.Dispose();
        Bundle.Dispose();
    }
}
