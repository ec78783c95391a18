using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// Rows that are generated side by side: a row that has ended leaves its slot to the next, so that none waits for the slowest. Keeps its model alive until it
/// is disposed. For one caller at a time; after an exception it can only be disposed.
/// </summary>
internal sealed class GenerationBatch : IDisposable
{
    private readonly LoadedModel _model;
    private readonly TextGenerationOptions _options;
    private readonly CancellationToken _cancellationToken;
    private readonly Action<long, GenerationResult> _ended;
    private readonly RunOptions _run;
    private readonly CancellationTokenRegistration _registration;
    private readonly DecodingSession _session;
    private readonly Place[] _places;
    private readonly int[] _longest;
    private readonly SortedDictionary<long, DecodingRow> _endedRows = [];
    private int _running;
    private bool _isClosed;

    /// <summary>An empty batch; see <see cref="LoadedModel.StartBatch"/>.</summary>
    internal GenerationBatch(
        LoadedModel model, TextGenerationOptions options, int slots, ExitPlan plan, int maxNewTokens, Action<long, GenerationResult> ended,
        CancellationToken cancellationToken)
    {
        _model = model;
        _options = options;
        _ended = ended;
        _cancellationToken = cancellationToken;
        _places = new Place[slots];
        _longest = new int[slots];
        // What fails is thrown, and needs no line in the log.
        _run = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        try
        {
            _session = new DecodingSession(model.Bundle, model.Sessions, model.Head, slots, plan, options, maxNewTokens, _run);
        }
        catch (Exception exception)
        {
            _run.Dispose();
            if (exception is OnnxRuntimeException or OutOfMemoryException)
                throw Translate(exception);
            throw;
        }

        // Between two sessions cancellation is looked at; within one, the runtime looks at this flag between two operators.
        _registration = cancellationToken.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, _run);
    }

    /// <summary>Whether another row can be started.</summary>
    public bool HasFreeSlot => _running < _places.Length && !_isClosed;

    /// <summary>Whether a row is running.</summary>
    public bool IsRunning => _running > 0;

    /// <summary>The row that was last started in a slot, running or ended.</summary>
    public DecodingRow Row(int slot) => _session.Row(slot)!;

    /// <summary>Starts a row in a free slot; one that cannot be generated ends at once.</summary>
    /// <param name="input">The row.</param>
    /// <param name="row">The caller's number for it, handed back with the result.</param>
    public void Start(GenerationInput input, long row) => Start(_model.Prepare(input, _options), row);

    /// <inheritdoc cref="Start(GenerationInput, long)"/>
    /// <param name="input">The row.</param>
    /// <param name="row">The caller's number for it, handed back with the result.</param>
    /// <param name="encoded">Encoder outputs of rows that are generated several times; null for none.</param>
    public void Start(PreparedInput input, long row, EncoderCache? encoded = null)
    {
        _cancellationToken.ThrowIfCancellationRequested();
        if (input.IsMissing)
        {
            _ended(row, GenerationResult.Skipped);
            return;
        }

        if (input.Error is not null)
        {
            _ended(row, GenerationResult.Failed(input.Error, hasText: _model.Tokenizer is not null, isInputRefused: true));
            return;
        }

        string what = $"The encoder over {input.TokenIds.Count} tokens";
        long bytes = RowMemory.Encoder(_model.Bundle, input.TokenIds.Count);
        if (RowMemory.Check(what, bytes, _options.EncoderMemoryBytes) is { } tooLong)
        {
            _ended(row, GenerationResult.Failed(tooLong, hasText: _model.Tokenizer is not null, isInputRefused: true));
            return;
        }

        try
        {
            InferenceSession encoder = _model.Sessions.Encoder;
            EncodedInput? kept;
            EncodedInput output;
            try
            {
                kept = encoded?.Get(row, input.TokenIds, _run);
                output = kept ?? EncodedInput.Encode(encoder, input.TokenIds, _model.Configuration.ModelDimension, _run);
            }
            catch (Exception exception) when (RowMemory.IsExhausted(exception) && !_cancellationToken.IsCancellationRequested)
            {
                _ended(row, GenerationResult.Failed(RowMemory.Exhausted(what, bytes), hasText: _model.Tokenizer is not null));
                return;
            }

            int slot = FreeSlot(output.Length);
            _places[slot] = new Place(output, IsOwned: kept is null, row, input.CutTokens);
            _running++;
            _session.Start(slot, output);
        }
        catch (Exception exception) when (exception is OnnxRuntimeException or OutOfMemoryException)
        {
            throw Translate(exception);
        }
    }

    /// <summary>Generates one token for every running row, and hands over those that have ended.</summary>
    public void Step()
    {
        _isClosed = _session.LearnsFromBatches;
        try
        {
            _session.Step(_cancellationToken);
        }
        catch (Exception exception) when (exception is OnnxRuntimeException or OutOfMemoryException)
        {
            throw Translate(exception);
        }

        for (int slot = 0; slot < _places.Length; slot++)
        {
            if (_places[slot].Input is not { } input || _session.Row(slot) is not { IsRunning: false } ended)
                continue;
            (_, bool isOwned, long row, int cutTokens) = _places[slot];
            if (isOwned)
                input.Dispose();
            _places[slot] = default;
            _running--;
            if (_isClosed)
                _endedRows.Add(row, ended);
            _ended(row, ended.ToResult(_model.Tokenizer, cutTokens));
        }

        if (!_isClosed || _running > 0)
            return;
        _session.Learn(_endedRows.Values);
        _endedRows.Clear();
        _isClosed = false;
    }

    public void Dispose()
    {
        _registration.Dispose();
        _session.Dispose();
        foreach (Place place in _places)
        {
            if (place.IsOwned)
                place.Input!.Dispose();
        }

        Array.Clear(_places);
        _run.Dispose();
        _model.Leave();
    }

    /// <summary>
    /// A free slot for a row. A slot keeps the memory that its longest row has needed: one that has it already is taken, else the one that lacks least, so that
    /// as few slots grow long as there are long rows at the same time.
    /// </summary>
    private int FreeSlot(int length)
    {
        // Lengths that differ by less are alike: among them the first slot is taken.
        const int Step = 64;
        length = (length + Step - 1) / Step * Step;
        int best = -1;
        for (int slot = 0; slot < _places.Length; slot++)
        {
            if (_places[slot].Input is not null)
                continue;
            if (best < 0 || (_longest[best] < length ? _longest[slot] > _longest[best] : _longest[slot] >= length && _longest[slot] < _longest[best]))
                best = slot;
        }

        _longest[best] = Math.Max(_longest[best], length);
        return best;
    }

    private Exception Translate(Exception exception) => _cancellationToken.IsCancellationRequested
        ? new OperationCanceledException(_cancellationToken)
        : _model.Sessions.Failure(exception);

    /// <summary>What is in a slot; no input where it is free.</summary>
    private readonly record struct Place(EncodedInput? Input, bool IsOwned, long Row, int CutTokens);
}
