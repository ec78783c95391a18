namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>One sequence while it is generated: its tokens, those that are drafts among them, and what is told of it in the end.</summary>
internal sealed class DecodingRow
{
    private const int FirstCapacity = 64;

    private readonly bool[]? _isSeen;
    private readonly RowTrace? _trace;
    private TokenComparisons? _comparisons;
    private int[] _sequence;
    private int[] _exitLayers;
    private float[] _confidences;
    private int[] _seen;
    private float _confidence = float.NaN;
    private float _highestStaying = float.NegativeInfinity;
    private OperationCounts _operations;
    private OperationCounts _tokenOperations;
    private int _draftsLeft;

    public DecodingRow(T5Configuration configuration, TextGenerationOptions options, int maxNewTokens)
    {
        int capacity = Math.Min(maxNewTokens, FirstCapacity);
        _sequence = new int[capacity + 1];
        _exitLayers = new int[capacity];
        _confidences = new float[capacity];
        bool penalizes = options.RepetitionPenalty is not (null or 1f);
        _seen = penalizes ? new int[capacity + 1] : [];
        _isSeen = penalizes ? new bool[configuration.VocabularySize] : null;
        _trace = options.Trace ? new RowTrace() : null;
        Append(configuration.DecoderStartTokenId);
    }

    /// <summary>Generated tokens, drafts included; also the position of the token whose successor is generated next.</summary>
    public int TokenCount { get; private set; }

    /// <summary>Generated tokens that stay.</summary>
    public int SettledCount { get; private set; }

    /// <summary>Tokens that were drafted and are to be verified.</summary>
    public int DraftCount => TokenCount - SettledCount;

    /// <summary>Drafts that were verified so far.</summary>
    public int VerifiedDrafts { get; private set; }

    /// <summary>Verified drafts that the full model chose too.</summary>
    public int AcceptedDrafts { get; private set; }

    /// <summary>Shallow tokens beside the full model's, where the threshold is learned.</summary>
    public TokenComparisons Comparisons => _comparisons ??= new TokenComparisons();

    public int LastToken => Sequence[^1];

    /// <summary>The ids the decoder has seen, the start token first.</summary>
    public ReadOnlySpan<int> Sequence => _sequence.AsSpan(0, TokenCount + 1);

    /// <summary>The ids of <see cref="Sequence"/>, each once; empty where no option needs them.</summary>
    public ReadOnlySpan<int> Seen => _seen.AsSpan(0, SeenCount);

    /// <summary>Whether every confidence is told, also of tokens that do not exit for it.</summary>
    public bool IsTraced => _trace is not null;

    /// <summary>The last confidence computed for the token at hand; NaN where none was.</summary>
    public float Confidence => _confidence;

    public bool IsRunning { get; private set; } = true;

    private int SeenCount { get; set; }

    private StopReason StopReason { get; set; }

    /// <summary>Whether the row ended because something was no number.</summary>
    public bool HasFailed => Error is not null;

    private string? Error { get; set; }

    /// <summary>Whether an id is in <see cref="Seen"/>.</summary>
    public bool HasSeen(int id) => _isSeen is not null && _isSeen[id];

    /// <summary>A generated token, counted from 0: its id, the layer it exited after, and its confidence.</summary>
    public (int Id, int Layer, float Confidence) Token(int index) => (_sequence[index + 1], _exitLayers[index], _confidences[index]);

    /// <summary>Adds work done for the next token.</summary>
    public void Count(OperationCounts operations)
    {
        _operations += operations;
        _tokenOperations += operations;
    }

    public void Evaluated(int layer, float confidence, int rows, int? amateurLayer)
    {
        _confidence = confidence;
        _trace?.Add(new ConfidenceEvaluation(layer, confidence, rows, amateurLayer));
    }

    /// <summary>Notes that a token did not exit, for its confidence.</summary>
    public void DidNotExit(float confidence) => _highestStaying = Math.Max(_highestStaying, confidence);

    /// <summary>Takes the next token, which exited after <paramref name="layer"/> blocks.</summary>
    public void Emit(int token, int layer, int endOfSequence, int maxNewTokens)
    {
        Record(token, layer, maxNewTokens);
        Settle(endOfSequence, maxNewTokens);
    }

    /// <summary>Takes a token that is to be verified.</summary>
    public void Draft(int token, int layer, int maxNewTokens) => Record(token, layer, maxNewTokens);

    /// <summary>
    /// Goes back to before the drafts, to take them one after another by <see cref="Verify"/>, with the options' view of the sequence as it was then.
    /// </summary>
    public void Rewind()
    {
        _draftsLeft = DraftCount;
        TokenCount = SettledCount;
        if (_isSeen is null)
            return;
        foreach (int id in Seen)
            _isSeen[id] = false;
        SeenCount = 0;
        foreach (int id in Sequence)
            See(id);
    }

    /// <summary>Takes the full model's choice in the next draft's place; false where it differs, and the drafts after it are dropped.</summary>
    public bool Verify(int token, int layerCount, int endOfSequence, int maxNewTokens)
    {
        bool isAccepted = _sequence[TokenCount + 1] == token;
        VerifiedDrafts++;
        _draftsLeft--;
        if (isAccepted)
            AcceptedDrafts++;
        else
            _exitLayers[TokenCount] = layerCount;
        TokenCount++;
        Append(token);
        if (!isAccepted)
        {
            VerifiedDrafts += _draftsLeft;
            _trace?.Replace(TokenCount - 1, token, layerCount, _tokenOperations);
            _tokenOperations = default;
            _confidence = float.NaN;
        }

        Settle(endOfSequence, maxNewTokens);
        if (!IsRunning)
            _trace?.Charge(TokenCount - 1, _tokenOperations);
        return isAccepted;
    }

    /// <summary>Ends the row, whose logits after a layer are no numbers.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="problem">What is wrong instead, where it is not the model's weights.</param>
    /// <returns>True: the row's token is done.</returns>
    public bool FailAt(int layer, string? problem = null)
    {
        Error = problem
            ?? $"After decoder layer {layer} the hidden state of token {TokenCount} holds a NaN or an infinity: the model's weights do not fit this input.";
        Stop(StopReason.Error);
        return true;
    }

    public GenerationResult ToResult(T5Tokenizer? tokenizer, int cutInputTokens)
    {
        // What was drafted and not verified, where the row failed, is none of it.
        int count = SettledCount;
        int[] tokens = _sequence.AsSpan(1, count).ToArray();
        return new GenerationResult
        {
            Text = tokenizer?.Decode(tokens),
            TokenIds = tokens,
            ExitLayers = _exitLayers.AsSpan(0, count).ToArray(),
            Confidences = _confidences.AsSpan(0, count).ToArray(),
            StopReason = StopReason,
            Error = Error,
            CutInputTokens = cutInputTokens,
            Operations = _operations,
            DraftedTokens = VerifiedDrafts,
            AcceptedTokens = AcceptedDrafts,
            HighestStayingConfidence = _highestStaying,
            Steps = _trace?.Steps(count),
        };
    }

    private void Record(int token, int layer, int maxNewTokens)
    {
        if (TokenCount == _exitLayers.Length)
            Grow(Math.Min(maxNewTokens, 2 * TokenCount));
        _exitLayers[TokenCount] = layer;
        _confidences[TokenCount] = _confidence;
        _confidence = float.NaN;
        TokenCount++;
        Append(token);
        _trace?.Record(token, layer, _tokenOperations);
        _tokenOperations = default;
    }

    private void Settle(int endOfSequence, int maxNewTokens)
    {
        SettledCount = TokenCount;
        if (LastToken == endOfSequence)
            Stop(StopReason.EndOfSequence);
        else if (TokenCount == maxNewTokens)
            Stop(StopReason.MaxNewTokens);
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
        See(token);
    }

    private void See(int token)
    {
        if (_isSeen is not null && !_isSeen[token])
        {
            _isSeen[token] = true;
            _seen[SeenCount++] = token;
        }
    }
}
