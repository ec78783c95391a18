using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>A loaded T5 that generates text with early exit. Immutable and thread-safe: one copy of the weights serves all callers.</summary>
/// <remarks>
/// Load bundles from trusted sources only: what a model generates is as trustworthy as its weights. Disposing while calls run is safe: they end as usual, and
/// the model's memory is released after the last of them.
/// </remarks>
public sealed class EarlyExitModel : IDisposable
{
    private EarlyExitModel(LoadedModel loaded) => Loaded = loaded;

    /// <summary>The model's sizes.</summary>
    public T5Configuration Configuration => Loaded.Configuration;

    /// <summary>The bundle's tokenizer; null where the checkpoint had none, and inputs must be ids.</summary>
    public T5Tokenizer? Tokenizer => Loaded.Tokenizer;

    /// <summary>
    /// What is not as the options requested, as sentences: a GPU that could not be used and why, threads of another number, telemetry that the application
    /// decides. Empty where all is. A model on a GPU may add to it when it first needs more of the device's memory.
    /// </summary>
    public IReadOnlyList<string> Warnings => Loaded.Sessions.Warnings;

    /// <summary>What runs: this class is its public face.</summary>
    internal LoadedModel Loaded { get; }

    /// <inheritdoc cref="LoadedModel.Bundle"/>
    internal ModelBundle Bundle => Loaded.Bundle;

    /// <inheritdoc cref="LoadedModel.Sessions"/>
    internal ModelSessions Sessions => Loaded.Sessions;

    /// <inheritdoc cref="LoadedModel.Head"/>
    internal LanguageModelHead Head => Loaded.Head;

    /// <summary>Logits that the head's screen has estimated after a layer since the model was loaded, and how many of them were computed again.</summary>
    internal (long Estimated, long Again) EstimatesAfter(int layer) => Head.Counts.After(layer);

    /// <summary>Loads a bundle folder, as <c>T5Converter</c> writes it. Every file is checked against the manifest's hashes first.</summary>
    /// <param name="bundlePath">The folder.</param>
    /// <param name="options">How to load; null for the defaults.</param>
    /// <returns>The model; dispose it when done.</returns>
    /// <exception cref="ArgumentException"><paramref name="bundlePath"/> is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <remarks>
    /// The weights are mapped, not copied: the bundle's files must stay as they are while the model is in use. Every call looks whether the weights file still
    /// has the length and the time of its last change that it had, and throws an <see cref="InvalidModelException"/> where it has not; a file that is cut short
    /// in the middle of a call still ends the process, as it does for any mapped file. Where others can write to the folder, load with
    /// <see cref="EarlyExitModelOptions.CopyWeights"/>. Deleting or moving the folder, or putting another in its place, does not disturb the weights; graphs
    /// are read when first needed, so their files must still be there.
    /// </remarks>
    /// <exception cref="InvalidModelException">The folder is no bundle, of another version, or damaged; the message says what and where.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    /// <exception cref="InvalidOperationException">ONNX Runtime's native package is missing, or the requested GPU cannot be used; the message says
    /// why.</exception>
    public static EarlyExitModel Load(string bundlePath, EarlyExitModelOptions? options = null) =>
        Load(ModelBundle.Open(bundlePath, options?.CopyWeights ?? false), options ?? new EarlyExitModelOptions());

    /// <summary>As the other, and makes the sessions that generating with some options needs.</summary>
    /// <param name="bundlePath">The folder.</param>
    /// <param name="options">How to load; null for the defaults.</param>
    /// <param name="warmUp">How will be generated; see <see cref="WarmUp"/>.</param>
    /// <returns>The model; dispose it when done.</returns>
    /// <exception cref="ArgumentException"><paramref name="bundlePath"/> is null or empty, or <paramref name="warmUp"/> does not fit the model.</exception>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="InvalidModelException">The folder is no bundle, of another version, or damaged; the message says what and where.</exception>
    /// <exception cref="InvalidOperationException">ONNX Runtime's native package is missing, or the requested GPU cannot be used; the message says
    /// why.</exception>
    public static EarlyExitModel Load(string bundlePath, EarlyExitModelOptions? options, TextGenerationOptions warmUp)
    {
        ArgumentNullException.ThrowIfNull(warmUp);
        EarlyExitModel model = Load(bundlePath, options);
        try
        {
            model.WarmUp(warmUp);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>As the public method, for a bundle that has been opened, which becomes the model's also where this fails.</summary>
    internal static EarlyExitModel Load(ModelBundle bundle, EarlyExitModelOptions options, ExecutionDevice? standIn = null) =>
        new(new LoadedModel(bundle, options, typeof(EarlyExitModel), standIn));

    /// <summary>
    /// Makes the sessions that generating with some options needs. Otherwise each is made when a token first needs it, some only many tokens later; it takes
    /// about as long as reading the layers' weights.
    /// </summary>
    /// <param name="options">How will be generated: the exit policy counts. Null for the defaults.</param>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle is damaged or cannot be run.</exception>
    /// <exception cref="InvalidOperationException">Memory ran out, or the GPU cannot be used.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void WarmUp(TextGenerationOptions? options = null) => Loaded.WarmUp(options ?? new TextGenerationOptions());

    /// <summary>Generates for one text.</summary>
    /// <param name="text">The text, without the options' prefix; may be empty.</param>
    /// <param name="options">How to generate; null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between two operators: a call ends when the one that runs does, which takes milliseconds, or up to seconds in
    /// the encoder of a row of many thousand tokens.</param>
    /// <returns>What was generated.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
    /// <exception cref="ArgumentException">The options do not fit the model, or the text is too long: it may not be cut, or its encoder would take more memory
    /// than it may.</exception>
    /// <exception cref="InvalidOperationException">The model has no tokenizer, computed no number for this text, or memory ran out; or a confidence is not from
    /// 0 to 1.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle, read when first needed, is damaged or cannot be run, or the weights file was
    /// changed.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public GenerationResult Generate(string text, TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        GenerationResult result = Generate([GenerationInput.FromText(text)], options, cancellationToken)[0];
        return result.StopReason != StopReason.Error ? result
            : result.IsInputRefused && Tokenizer is not null ? throw new ArgumentException(result.Error, nameof(text))
            : throw new InvalidOperationException(result.Error);
    }

    /// <summary>
    /// Generates for many rows, <see cref="TextGenerationOptions.BatchSize"/> side by side: where one has ended the next begins. A row that cannot be generated
    /// has <see cref="StopReason.Error"/> and does not disturb the others.
    /// </summary>
    /// <param name="inputs">The rows.</param>
    /// <param name="options">How to generate; null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between two operators: a call ends when the one that runs does, which takes milliseconds, or up to seconds in
    /// the encoder of a row of many thousand tokens.</param>
    /// <returns>One result per row, in order.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="inputs"/> is null.</exception>
    /// <exception cref="ArgumentException">The options do not fit the model.</exception>
    /// <exception cref="InvalidModelException">A graph of the bundle, read when first needed, is damaged or cannot be run, or the weights file was
    /// changed.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public IReadOnlyList<GenerationResult> Generate(
        IReadOnlyList<GenerationInput> inputs, TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var results = new GenerationResult[inputs.Count];
        Generate(inputs, options ?? new TextGenerationOptions(), results, cancellationToken);
        return results;
    }

    /// <summary>Generates for one text and hands over every token as soon as it is chosen.</summary>
    /// <param name="text">The text, without the options' prefix; may be empty.</param>
    /// <param name="options">How to generate; null for the defaults. <see cref="TextGenerationOptions.BatchSize"/> and
    /// <see cref="TextGenerationOptions.Trace"/> have no meaning here.</param>
    /// <param name="cancellationToken">Looked at between two operators, also in the middle of a token: the enumeration ends when the one that runs does, which
    /// takes milliseconds, or up to seconds in the encoder of a row of many thousand tokens.</param>
    /// <returns>The tokens. Each is computed on the thread pool when it is requested: nothing runs ahead of the reader, and leaving the loop ends the
    /// generation. Enumerating again generates again.</returns>
    /// <remarks>The text deltas put together are the text that <see cref="Generate(string, TextGenerationOptions?, CancellationToken)"/> returns. The
    /// enumeration throws what that method throws while it computes; arguments are checked at once.</remarks>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
    /// <exception cref="ArgumentException">The options do not fit the model, the text is too long and may not be cut, or the model has no
    /// tokenizer.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public IAsyncEnumerable<GeneratedToken> GenerateStreamingAsync(
        string text, TextGenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        GenerateStreamingAsync(GenerationInput.FromText(text), options, cancellationToken);

    /// <summary>Generates for one row and hands over every token as soon as it is chosen.</summary>
    /// <param name="input">The row, text or encoder ids.</param>
    /// <param name="options">How to generate; null for the defaults. <see cref="TextGenerationOptions.BatchSize"/> and
    /// <see cref="TextGenerationOptions.Trace"/> have no meaning here.</param>
    /// <param name="cancellationToken">Looked at between two operators, also in the middle of a token: the enumeration ends when the one that runs does, which
    /// takes milliseconds, or up to seconds in the encoder of a row of many thousand tokens.</param>
    /// <returns>The tokens, none where the row's text is missing. Each is computed on the thread pool when it is requested: nothing runs ahead of the reader,
    /// and leaving the loop ends the generation. Enumerating again generates again.</returns>
    /// <exception cref="ArgumentException">The options do not fit the model, or nothing can be generated from the row.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public IAsyncEnumerable<GeneratedToken> GenerateStreamingAsync(
        GenerationInput input, TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        Loaded.ThrowIfDisposed();
        options ??= new TextGenerationOptions();
        CheckOptions(options);
        PreparedInput prepared = Prepare(input, options);
        if (prepared.IsMissing)
            return AsyncEnumerable.Empty<GeneratedToken>();
        return prepared.Error is null
            ? StreamAsync(prepared, options with { Trace = false }, cancellationToken)
            : throw new ArgumentException(prepared.Error, nameof(input));
    }

    /// <summary>As the public method, but what was finished before an exception stays in <paramref name="results"/>, null for the other rows.</summary>
    internal void Generate(
        IReadOnlyList<GenerationInput> inputs, TextGenerationOptions options, GenerationResult?[] results, CancellationToken cancellationToken)
    {
        // At least one slot: also for no rows the options are checked.
        int slots = Math.Clamp(options.BatchSize, 1, Math.Max(1, inputs.Count));
        using GenerationBatch batch = StartBatch(options, slots, (row, result) => results[row] = result, cancellationToken);
        for (int next = 0; next < inputs.Count || batch.IsRunning;)
        {
            while (batch.HasFreeSlot && next < inputs.Count)
                batch.Start(inputs[next], next++);
            if (batch.IsRunning)
                batch.Step();
        }
    }

    /// <inheritdoc cref="LoadedModel.StartBatch"/>
    internal GenerationBatch StartBatch(TextGenerationOptions options, int slots, Action<long, GenerationResult> ended, CancellationToken cancellationToken) =>
        Loaded.StartBatch(options, slots, ended, cancellationToken);

    /// <inheritdoc cref="LoadedModel.StartTeacherForcing"/>
    internal TeacherForcedRun StartTeacherForcing() => Loaded.StartTeacherForcing();

    /// <inheritdoc cref="LoadedModel.WarmUpScoring"/>
    internal void WarmUpScoring() => Loaded.WarmUpScoring();

    /// <inheritdoc cref="LoadedModel.MaxNewTokens"/>
    internal int MaxNewTokens(TextGenerationOptions options) => Loaded.MaxNewTokens(options);

    /// <inheritdoc cref="LoadedModel.Prepare"/>
    internal PreparedInput Prepare(GenerationInput input, TextGenerationOptions options) => Loaded.Prepare(input, options);

    /// <inheritdoc cref="LoadedModel.CheckOptions"/>
    internal void CheckOptions(TextGenerationOptions options) => Loaded.CheckOptions(options);

    /// <summary>Releases the sessions and the weights, once no call runs any more.</summary>
    public void Dispose() => Loaded.Dispose();

    private async IAsyncEnumerable<GeneratedToken> StreamAsync(
        PreparedInput input, TextGenerationOptions options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        GenerationResult? result = null;
        using GenerationBatch batch = StartBatch(options, 1, (_, ended) => result = ended, cancellationToken);
        await Task.Run(() => batch.Start(input, 0), cancellationToken).ConfigureAwait(false);
        DecodingRow row = batch.Row(0);
        T5StreamingDecoder? decoder = Tokenizer?.CreateStreamingDecoder();
        int taken = 0;
        while (result is null)
        {
            await Task.Run(batch.Step, cancellationToken).ConfigureAwait(false);
            for (; taken < row.SettledCount; taken++)
            {
                (int id, int layer, float confidence) = row.Token(taken);
                bool isLast = result is not null && taken == row.SettledCount - 1 && result.StopReason != StopReason.Error;
                yield return new GeneratedToken(id, decoder?.Append(id) ?? "", layer, confidence, isLast ? result!.StopReason : null);
            }
        }

        if (result.Error is { } error)
            throw new InvalidOperationException(error);
    }
}
