namespace Microsoft.ML.EarlyExit;

/// <summary>One sequence while it is generated.</summary>
internal sealed class DecodingRow
{
    private const int FirstCapacity = 64;

    private readonly bool[]? _isSeen;
    private readonly List<GenerationStep>? _steps;
    private List<ConfidenceEvaluation>? _evaluations;
    private int[] _sequence;
    private int[] _exitLayers;
    private float[] _confidences;
    private int[] _seen;
    private float _confidence = float.NaN;
    private OperationCounts _operations;
    private OperationCounts _tokenOperations;

    public DecodingRow(T5Configuration configuration, TextGenerationOptions options, int maxNewTokens)
    {
        int capacity = Math.Min(maxNewTokens, FirstCapacity);
        _sequence = new int[capacity + 1];
        _exitLayers = new int[capacity];
        _confidences = new float[capacity];
        _seen = options.RepetitionPenalty != 1f ? new int[capacity + 1] : [];
        _isSeen = options.RepetitionPenalty != 1f ? new bool[configuration.VocabularySize] : null;
        _steps = options.Trace ? [] : null;
        Append(configuration.DecoderStartTokenId);
    }

    /// <summary>Generated tokens; also the position of the token whose successor is generated next.</summary>
    public int TokenCount { get; private set; }

    public int LastToken => Sequence[^1];

    /// <summary>The ids the decoder has seen, the start token first.</summary>
    public ReadOnlySpan<int> Sequence => _sequence.AsSpan(0, TokenCount + 1);

    /// <summary>The ids of <see cref="Sequence"/>, each once; empty where no option needs them.</summary>
    public ReadOnlySpan<int> Seen => _seen.AsSpan(0, SeenCount);

    /// <summary>Whether an id is in <see cref="Seen"/>.</summary>
    public bool HasSeen(int id) => _isSeen is not null && _isSeen[id];

    /// <summary>The last confidence computed for the token at hand; NaN where none was.</summary>
    public float Confidence => _confidence;

    public bool IsRunning { get; private set; } = true;

    /// <summary>A generated token, counted from 0: its id, the layer it left at, and its confidence.</summary>
    public (int Id, int Layer, float Confidence) Token(int index) => (_sequence[index + 1], _exitLayers[index], _confidences[index]);

    private int SeenCount { get; set; }

    private StopReason StopReason { get; set; }

    private string? Error { get; set; }

    /// <summary>Adds work done for the next token.</summary>
    public void Count(OperationCounts operations)
    {
        _operations += operations;
        _tokenOperations += operations;
    }

    public void Evaluated(int layer, float confidence, int rows, int? amateurLayer)
    {
        _confidence = confidence;
        if (_steps is not null)
            (_evaluations ??= []).Add(new ConfidenceEvaluation(layer, confidence, rows, amateurLayer));
    }

    /// <summary>Takes the next token, which left after <paramref name="layer"/> blocks.</summary>
    public void Emit(int token, int layer, int endOfSequence, int maxNewTokens)
    {
        if (TokenCount == _exitLayers.Length)
            Grow(Math.Min(maxNewTokens, 2 * TokenCount));
        _exitLayers[TokenCount] = layer;
        _confidences[TokenCount] = _confidence;
        _confidence = float.NaN;
        TokenCount++;
        Append(token);
        if (_steps is not null)
        {
            _steps.Add(new GenerationStep(token, layer, _evaluations ?? [], _tokenOperations));
            _evaluations = null;
        }

        _tokenOperations = default;
        if (token == endOfSequence)
            Stop(StopReason.EndOfSequence);
        else if (TokenCount == maxNewTokens)
            Stop(StopReason.MaxNewTokens);
    }

    public void Fail(string error)
    {
        Error = error;
        Stop(StopReason.Error);
    }

    public GenerationResult ToResult(T5Tokenizer? tokenizer, int cutInputTokens)
    {
        int[] tokens = Sequence[1..].ToArray();
        return new GenerationResult
        {
            Text = tokenizer?.Decode(tokens),
            TokenIds = tokens,
            ExitLayers = _exitLayers.AsSpan(0, TokenCount).ToArray(),
            Confidences = _confidences.AsSpan(0, TokenCount).ToArray(),
            StopReason = StopReason,
            Error = Error,
            CutInputTokens = cutInputTokens,
            Operations = _operations,
            Steps = _steps,
        };
    }

    private void Grow(int capacity)
    {
        Array.Resize(ref _sequence, capacity + 1);
        Array.Resize(ref _exitLayers, capacity);
        Array.Resize(ref _confidences, capacity);
        if (_isSeen is not null)
            Array.Resize(ref _seen, capacity + 1);
    }

    private void Stop(StopReason reason)
    {
        StopReason = reason;
        IsRunning = false;
    }

    private void Append(int token)
    {
        _sequence[TokenCount] = token;
        if (_isSeen is not null && !_isSeen[token])
        {
            _isSeen[token] = true;
            _seen[SeenCount++] = token;
        }
    }
}
