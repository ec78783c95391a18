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
    private readonly TokenState?[] _states;
    private readonly EvaluationScratch _scratch;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;
    private readonly NativeBuffer _choice;

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
        _states = new TokenState?[slots];
        _scratch = new EvaluationScratch(head.VocabularySize);
        _normed = new NativeBuffer((long)slots * head.Width * sizeof(float));
        _logits = new NativeBuffer((long)slots * head.VocabularySize * sizeof(float));
        _choice = new NativeBuffer((long)head.VocabularySize * sizeof(float));
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
        _states[slot] ??= new TokenState(_plan, _head, _scratch);
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
        for (int index = 0; index < count; index++)
        {
            TokenState state = _states[_slots[index]]!;
            state.Begin();
            state.Reach(0, _decoder.Hidden(index));
        }

        for (int segment = 0; segment < _plan.Segments.Count && count > 0; segment++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _decoder.Run(segment, _slots.AsSpan(0, count));
            for (int index = 0; index < count; index++)
            {
                _rows[_slots[index]]!.Count(_decoder.TakeOperations(_slots[index]));
                _states[_slots[index]]!.Reach(_plan.Segments[segment].LastLayer, _decoder.Hidden(index));
            }

            count = Decide(_plan.Segments[segment].LastLayer, count);
        }
    }

    public void Dispose()
    {
        _decoder.Dispose();
        _lane.Dispose();
        foreach (TokenState? state in _states)
            state?.Dispose();
        _choice.Dispose();
        _logits.Dispose();
        _normed.Dispose();
    }

    /// <summary>After a segment: rows that leave get their token; the others move together and are counted.</summary>
    private int Decide(int layer, int count)
    {
        bool isLast = layer == _plan.LastLayer;
        if (!isLast && !_plan.Asks(layer))
            return count;
        if (isLast || _plan.Confidence!.UsesLogits)
            ComputeLogits(layer, count);
        foreach (int amateur in _plan.AmateurLayers(layer))
            ComputeAmateur(amateur, count);

        int staying = 0;
        for (int index = 0; index < count; index++)
        {
            int slot = _slots[index];
            if (isLast ? LeaveLast(slot, index) : TryLeave(slot, index))
            {
                _decoder.Advance(slot, index, leavesEarly: !isLast);
                continue;
            }

            if (staying != index)
            {
                _decoder.Hidden(index).CopyTo(_decoder.Hidden(staying));
                _states[slot]!.Move(_decoder.Hidden(staying));
            }

            _slots[staying++] = slot;
        }

        return staying;
    }

    /// <summary>Asks a row after a layer before the last.</summary>
    private bool TryLeave(int slot, int index)
    {
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        int rows = _plan.Confidence!.UsesLogits ? state.Logits.Values.Length : 0;
        row.Count(_costs.PaperEvaluation(_plan.PaperRows(state.Layer, rows, row.Confidence)));
        float confidence = _plan.Confidence.Evaluate(state);
        row.Evaluated(state.Layer, confidence, rows, state.AmateurLayer);

        // In the published code a contrastive confidence that is no number lets the token leave, whose logits are sound.
        bool leaves = float.IsNaN(confidence) && _plan.ReferenceCompatible && _plan.Confidence.ComparesLayers
            || _plan.Leaves(confidence, state.Layer, row.TokenCount);
        if (float.IsNaN(confidence) && !leaves)
            return Fail(row, state.Layer);
        if (leaves)
        {
            if (!_plan.Confidence.UsesLogits)
                ComputeLogits(index, state, row, isChoice: true);
            int token = Choose(state, row);
            if (token == TokenSelector.Invalid)
                return Fail(row, state.Layer);
            if (token != TokenSelector.Forbidden)
            {
                row.Emit(token, state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
                return true;
            }
        }

        state.Prune(confidence);
        return false;
    }

    /// <summary>Chooses the token of a row that has run all layers.</summary>
    private bool LeaveLast(int slot, int index)
    {
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        int token = Choose(state, row);
        if (token == TokenSelector.Forbidden && !state.Logits.IsWhole)
        {
            // Of the alive ones none is allowed.
            state.Alive.Begin();
            ComputeLogits(index, state, row, isChoice: true);
            token = Choose(state, row);
        }

        if (token == TokenSelector.Invalid)
            return Fail(row, state.Layer);
        // As Hugging Face: the first id of a vocabulary in which nothing is allowed.
        row.Emit(token == TokenSelector.Forbidden ? 0 : token, state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        return true;
    }

    private int Choose(TokenState state, DecodingRow row)
    {
        Span<float> logits = state.Logits.Values;
        ReadOnlySpan<int> ids = state.Logits.IsWhole ? [] : state.Alive.Ids;
        Span<float> choice = _choice.Span<float>(0, logits.Length);
        if (_plan.Confidence is ContrastiveConfidence { Options.Token: ContrastiveToken.Contrastive } && _plan.Asks(state.Layer) && state.TryGetLogScores(choice))
            return _selector.Choose(choice, ids, row);
        if (!_selector.ChangesLogits)
            return _selector.Choose(logits, ids, row);
        logits.CopyTo(choice);
        return _selector.Choose(choice, ids, row);
    }

    private static bool Fail(DecodingRow row, int layer)
    {
        row.Fail($"After decoder layer {layer} the hidden state of token {row.TokenCount} holds a NaN or an infinity: the model's weights do not fit this input.");
        return true;
    }

    /// <summary>The logits of all rows at a layer: those of rows whose vocabulary is whole in one product.</summary>
    private void ComputeLogits(int layer, int count)
    {
        bool isWhole = _plan.IsWholeAt(layer);
        int whole = 0;
        for (int index = 0; index < count; index++)
        {
            if (isWhole || _states[_slots[index]]!.Alive.IsWhole)
                whole++;
        }

        if (whole == count)
        {
            for (int index = 0; index < count; index++)
                Normalize(index);
            MultiplyWhole(count);
        }

        for (int index = 0; index < count; index++)
        {
            TokenState state = _states[_slots[index]]!;
            DecodingRow row = _rows[_slots[index]]!;
            if (whole == count)
                SetLogits(state, row, layer, index, isChoice: layer == _plan.LastLayer);
            else
                ComputeLogits(index, state, row, isChoice: layer == _plan.LastLayer);
        }
    }

    /// <summary>The logits of one row at the layer it has reached.</summary>
    private void ComputeLogits(int index, TokenState state, DecodingRow row, bool isChoice)
    {
        Normalize(index);
        ReadOnlySpan<float> normed = Normed(index);
        if (state.Alive.IsWhole || _plan.IsWholeAt(state.Layer))
        {
            _head.Multiply(_lane, normed, 1, Logits(index, _head.VocabularySize));
            SetLogits(state, row, state.Layer, index, isChoice);
            return;
        }

        Span<float> logits = Logits(index, state.Alive.Count);
        unsafe
        {
            _head.Multiply(_lane, state.Alive.Rows(), state.Alive.Count, normed, 1, logits);
        }

        state.Logits.Set(logits, isWhole: false, keep: KeepsLogits);
        row.Count(isChoice ? _costs.ChoiceProduct(logits.Length) : _costs.ConfidenceProduct(logits.Length));
    }

    /// <summary>The logits of an earlier layer, over the whole vocabulary, for all rows that do not have them yet.</summary>
    private void ComputeAmateur(int layer, int count)
    {
        int missing = 0;
        for (int index = 0; index < count; index++)
        {
            TokenState state = _states[_slots[index]]!;
            if (!state.LogitsAt(layer).IsSet)
                _head.Normalize(state.HiddenAfter(layer), Normed(missing++));
        }

        if (missing == 0)
            return;

        // The current layer's logits are kept elsewhere.
        MultiplyWhole(missing);
        missing = 0;
        for (int index = 0; index < count; index++)
        {
            TokenState state = _states[_slots[index]]!;
            if (!state.LogitsAt(layer).IsSet)
                SetLogits(state, _rows[_slots[index]]!, layer, missing++, isChoice: false);
        }
    }

    private bool KeepsLogits => _plan.Confidence is { ComparesLayers: true };

    private void SetLogits(TokenState state, DecodingRow row, int layer, int at, bool isChoice)
    {
        state.LogitsAt(layer).Set(Logits(at, _head.VocabularySize), isWhole: true, keep: KeepsLogits);
        row.Count(isChoice ? _costs.ChoiceProduct(_head.VocabularySize) : _costs.ConfidenceProduct(_head.VocabularySize));
    }

    private void MultiplyWhole(int count) =>
        _head.Multiply(_lane, _normed.Span<float>(0, count * _head.Width), count, _logits.Span<float>(0, count * _head.VocabularySize));

    private void Normalize(int index) => _head.Normalize(_decoder.Hidden(index), Normed(index));

    private Span<float> Normed(int at) => _normed.Span<float>((long)at * _head.Width, _head.Width);

    private Span<float> Logits(int at, int count) => _logits.Span<float>((long)at * _head.VocabularySize, count);
}
