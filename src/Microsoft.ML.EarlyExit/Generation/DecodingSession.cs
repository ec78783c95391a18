using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The decoding loop and all its mutable state. Rows are independent: between two segments of blocks the policy says which of them leave, and only the others run
/// on; a row that has ended leaves its slot to the next, so that none waits for the slowest.
/// </summary>
internal sealed class DecodingSession : IDisposable
{
    private readonly DecoderBatch _decoder;
    private readonly LanguageModelHead _head;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly ExitPlan _plan;
    private readonly TokenSelector _selector;
    private readonly T5Configuration _configuration;
    private readonly OperationCosts _costs;
    private readonly TextGenerationOptions _options;
    private readonly int _maxNewTokens;
    private readonly DecodingRow?[] _rows;
    private readonly int[] _slots;
    private readonly int[] _tokens;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;

    public DecodingSession(
        ModelBundle bundle, ModelSessions sessions, LanguageModelHead head, int slots, ExitPlan plan, TextGenerationOptions options, int maxNewTokens,
        RunOptions run)
    {
        _configuration = bundle.Configuration;
        _costs = new OperationCosts(_configuration);
        _head = head;
        _plan = plan;
        _selector = new TokenSelector(_configuration, options);
        _maxNewTokens = maxNewTokens;
        _options = options;
        _rows = new DecodingRow?[slots];
        _slots = new int[slots];
        _tokens = new int[slots];
        _normed = new NativeBuffer((long)slots * head.Width * sizeof(float));
        _logits = new NativeBuffer((long)slots * head.VocabularySize * sizeof(float));
        _lane = sessions.ThreadPool.CreateLane();
        _decoder = new DecoderBatch(
            bundle, sessions, slots, plan.Segments, options.Exit?.StatePropagation ?? StatePropagation.StateCopy, maxNewTokens, _costs, run);
    }

    /// <summary>Begins a row in a slot that is free: one that had none yet, or whose row has ended.</summary>
    /// <param name="slot">The slot, from 0.</param>
    /// <param name="input">The row's encoder output; must live until the row has ended.</param>
    public void Start(int slot, EncodedInput input)
    {
        _decoder.Admit(slot, input);
        _rows[slot] = new DecodingRow(_configuration, _options, _maxNewTokens);
    }

    /// <summary>The row in a slot, running or ended; null where there was none yet.</summary>
    public DecodingRow? Row(int slot) => _rows[slot];

    /// <summary>Generates one token for every running row.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was asked for; it is looked at between segments.</exception>
    public void Step(CancellationToken cancellationToken)
    {
        int count = 0;
        for (int slot = 0; slot < _rows.Length; slot++)
        {
            if (_rows[slot] is not { IsRunning: true } row)
                continue;
            _slots[count] = slot;
            _tokens[count++] = row.LastToken;
        }

        _decoder.Embed(_slots.AsSpan(0, count), _tokens);
        for (int segment = 0; segment < _plan.Segments.Count && count > 0; segment++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _decoder.Run(segment, _slots.AsSpan(0, count));
            foreach (int slot in _slots.AsSpan(0, count))
                _rows[slot]!.Count(_decoder.TakeOperations(slot));
            count = Decide(segment, count);
        }
    }

    public void Dispose()
    {
        _decoder.Dispose();
        _lane.Dispose();
        _logits.Dispose();
        _normed.Dispose();
    }

    /// <summary>After a segment: rows that leave get their token; the others move together and are counted.</summary>
    private int Decide(int segment, int count)
    {
        int layer = _plan.Segments[segment].LastLayer;
        bool isLast = segment == _plan.Segments.Count - 1;
        bool hasLogits = isLast || _plan.Confidence!.UsesLogits;
        if (hasLogits)
            ComputeLogits(0, count);

        int staying = 0;
        for (int index = 0; index < count; index++)
        {
            int slot = _slots[index];
            if (TryLeave(_rows[slot]!, layer, isLast, index, hasLogits))
            {
                _decoder.Advance(slot, index, leavesEarly: !isLast);
                continue;
            }

            if (staying != index)
                _decoder.Hidden(index).CopyTo(_decoder.Hidden(staying));
            _slots[staying++] = slot;
        }

        return staying;
    }

    private bool TryLeave(DecodingRow row, int layer, bool isLast, int index, bool hasLogits)
    {
        Span<float> logits = _logits.Span<float>((long)index * _head.VocabularySize, _head.VocabularySize);
        if (!isLast)
        {
            float confidence = _plan.Confidence!.Evaluate(hasLogits ? logits : []);
            int headRows = hasLogits ? logits.Length : 0;
            row.Count(_costs.ConfidenceProduct(headRows) + _costs.PaperEvaluation(headRows));
            row.Evaluated(layer, confidence, headRows);
            if (float.IsNaN(confidence))
                return Fail(row, layer);
            if (!_plan.Leaves(confidence, layer, row.TokenCount))
                return false;
        }

        if (!hasLogits)
            ComputeLogits(index, 1);
        if (isLast || !hasLogits)
            row.Count(_costs.ChoiceProduct(logits.Length));
        int token = _selector.Choose(logits, row.Sequence, row.Seen);
        if (token == TokenSelector.Invalid)
            return Fail(row, layer);
        if (token == TokenSelector.Forbidden)
        {
            if (!isLast)
                return false;
            // As Hugging Face: the first id of a vocabulary in which nothing is allowed.
            token = 0;
        }

        row.Emit(token, layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        return true;
    }

    private static bool Fail(DecodingRow row, int layer)
    {
        row.Fail($"After decoder layer {layer} the hidden state of token {row.TokenCount} holds a NaN or an infinity: the model's weights do not fit this input.");
        return true;
    }

    private void ComputeLogits(int firstRow, int count)
    {
        Span<float> hidden = _decoder.Hidden(firstRow, count);
        Span<float> normed = _normed.Span<float>((long)firstRow * _head.Width, count * _head.Width);
        for (int row = 0; row < count; row++)
            _head.Normalize(hidden.Slice(row * _head.Width, _head.Width), normed.Slice(row * _head.Width, _head.Width));
        _head.Multiply(_lane, normed, count, _logits.Span<float>((long)firstRow * _head.VocabularySize, count * _head.VocabularySize));
    }
}
