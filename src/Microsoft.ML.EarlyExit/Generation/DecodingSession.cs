using System.Numerics.Tensors;
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
    private readonly HeadProducts _products;
    private readonly ExitPlan _plan;
    private readonly TokenSelector _selector;
    private readonly T5Configuration _configuration;
    private readonly OperationCosts _costs;
    private readonly TextGenerationOptions _options;
    private readonly int _maxNewTokens;
    private readonly EvaluationScratch _scratch;
    private readonly AdaptiveThreshold? _threshold;
    private readonly DecodingRow?[] _rows;
    private readonly TokenState?[] _states;
    private readonly int[] _slots;
    private readonly int[] _tokens;
    private readonly NativeBuffer _choice;
    private readonly NativeArena _kept = new();

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
        _scratch = new EvaluationScratch(head.VocabularySize);
        _threshold = plan.Adapts ? new AdaptiveThreshold(plan.FirstThreshold) : null;
        _rows = new DecodingRow?[slots];
        _states = new TokenState?[slots];
        _slots = new int[slots];
        _tokens = new int[slots];
        _choice = new NativeBuffer((long)head.VocabularySize * sizeof(float));
        _products = new HeadProducts(plan, head, _costs, sessions.ThreadPool, slots);
        _decoder = new DecoderBatch(bundle, sessions, slots, plan.Segments, plan.StatePropagation, maxNewTokens, _costs, run);
    }

    /// <summary>Whether rows must be taken in closed batches, each ended by <see cref="Learn"/>.</summary>
    public bool LearnsFromBatches => _threshold is not null;

    /// <summary>Begins a row in a slot that is free: one that had none yet, or whose row has ended.</summary>
    /// <param name="slot">The slot, from 0.</param>
    /// <param name="input">The row's encoder output; must live until the row has ended.</param>
    public void Start(int slot, EncodedInput input)
    {
        _decoder.Admit(slot, input);
        _rows[slot] = new DecodingRow(_configuration, _options, _maxNewTokens);
        _states[slot] ??= new TokenState(_plan, _scratch, _kept.Floats);
    }

    /// <summary>The row in a slot, running or ended; null where there was none yet.</summary>
    public DecodingRow? Row(int slot) => _rows[slot];

    /// <summary>Adapts the threshold to what the rows of a batch have told, given in their order.</summary>
    public void Learn(IEnumerable<DecodingRow> rows)
    {
        foreach ((float confidence, bool agreed) in rows.SelectMany(row => row.Comparisons))
            _threshold!.Add(confidence, agreed);
        _threshold!.Update();
    }

    /// <summary>Generates one token for every running row; with self-speculation a draft, or several tokens that were verified, or none that stays.</summary>
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
            state.Begin(_rows[_slots[index]]!.TokenCount);
            state.Reach(0, _decoder.HiddenMemory(index));
        }

        for (int segment = 0; segment < _plan.Segments.Count && count > 0; segment++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _decoder.Run(segment, _slots.AsSpan(0, count));
            for (int index = 0; index < count; index++)
            {
                _rows[_slots[index]]!.Count(_decoder.TakeOperations(_slots[index]));
                _states[_slots[index]]!.Reach(_plan.Segments[segment].LastLayer, _decoder.HiddenMemory(index));
            }

            count = Decide(_plan.Segments[segment].LastLayer, count);
        }

        if (_plan.Speculation is not null)
            VerifyEndings(cancellationToken);
    }

    public void Dispose()
    {
        _decoder.Dispose();
        _kept.Dispose();
        _choice.Dispose();
        _products.Dispose();
    }

    /// <summary>After a segment: rows that leave get their token; the others move together and are counted.</summary>
    private int Decide(int layer, int count)
    {
        bool isLast = layer == _plan.LastLayer;
        if (!isLast && !_plan.Asks(layer))
            return count;
        _products.Begin();
        for (int index = 0; index < count; index++)
        {
            if (isLast || !MustGoDeep(_rows[_slots[index]]!))
                _products.Add(_slots[index], _states[_slots[index]]!, _rows[_slots[index]]!);
        }

        if (isLast || _plan.Confidence is null or { UsesLogits: true })
            _products.Compute(isChoice: isLast || _plan.Confidence is null);
        foreach (int amateur in _plan.AmateurLayers(layer))
            _products.ComputeAmateur(amateur);

        int staying = 0;
        for (int index = 0; index < count; index++)
        {
            int slot = _slots[index];
            if (isLast)
            {
                LeaveLast(slot, index);
                continue;
            }

            if (!MustGoDeep(_rows[slot]!) && TryLeave(slot))
            {
                _decoder.Advance(slot, index, leavesEarly: true);
                continue;
            }

            if (staying != index)
            {
                _decoder.Hidden(index).CopyTo(_decoder.Hidden(staying));
                _states[slot]!.Move(_decoder.HiddenMemory(staying));
            }

            _slots[staying++] = slot;
        }

        return staying;
    }

    /// <summary>Whether a row has drafted enough: its token runs all layers, and the drafts with it.</summary>
    private bool MustGoDeep(DecodingRow row) => _plan.Speculation is not null && row.DraftCount > 0 && row.DraftCount >= _plan.DraftTokens(row.AcceptedDrafts, row.VerifiedDrafts);

    /// <summary>Asks a row after a layer before the last.</summary>
    private bool TryLeave(int slot)
    {
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        if (_plan.Confidence is null)
            return TryTake(slot, state, row);

        int rows = _plan.Confidence.UsesLogits ? state.Logits.Values.Length : 0;
        row.Count(_costs.PaperEvaluation(_plan.PaperRows(state.Layer, rows, row.Confidence)));
        float confidence = _plan.Confidence.Evaluate(state);
        row.Evaluated(state.Layer, confidence, rows, state.AmateurLayer);
        if (LearnsFromBatches)
            row.Compare(TensorPrimitives.IndexOfMax<float>(state.Logits.Values), confidence);

        // In the published code a contrastive confidence that is no number lets the token leave, whose logits are sound.
        bool leaves = float.IsNaN(confidence)
            ? _plan.Confidence.LeavesWithoutNumber
            : _threshold is null ? _plan.Leaves(confidence, state.Layer, row.TokenCount) : confidence > _threshold.Current;
        if (float.IsNaN(confidence) && !leaves)
            return Fail(row, state.Layer, state.Problem);
        if (!leaves)
            row.Stayed(confidence);
        else if (TryTake(slot, state, row))
            return true;
        state.Prune(confidence);
        return false;
    }

    /// <summary>Gives a row that may leave its token; false where none is allowed, and it stays.</summary>
    private bool TryTake(int slot, TokenState state, DecodingRow row)
    {
        if (_plan.Confidence is { UsesLogits: false })
        {
            _products.Begin();
            _products.Add(slot, state, row);
            _products.Compute(isChoice: true);
        }

        int token = Choose(state, row);
        if (token == TokenSelector.Invalid)
            return Fail(row, state.Layer);
        if (token == TokenSelector.Forbidden)
            return false;
        if (_plan.Speculation is null)
            row.Emit(token, state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        else
            row.Draft(token, state.Layer, _maxNewTokens);
        return true;
    }

    /// <summary>Verifies a row's drafts and chooses the token of a row that has run all layers.</summary>
    private void LeaveLast(int slot, int index)
    {
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        if (row.DraftCount > 0 && !VerifyDrafts(slot))
            return;
        if (LearnsFromBatches)
            Compare(slot, state, row);
        int token = Choose(state, row);
        if (token == TokenSelector.Forbidden && !state.Logits.IsWhole)
        {
            // Of the alive ones none is allowed.
            _products.ComputeWhole(state);
            row.Count(_costs.ChoiceProduct(_head.VocabularySize));
            token = Choose(state, row);
        }

        if (token == TokenSelector.Invalid)
            Fail(row, state.Layer);
        else
            row.Emit(Allowed(token), state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        _decoder.Advance(slot, index, leavesEarly: false);
    }

    /// <summary>Verifies the drafts that would end their rows, after which no token comes that could take them along.</summary>
    private void VerifyEndings(CancellationToken cancellationToken)
    {
        for (int slot = 0; slot < _rows.Length; slot++)
        {
            if (_rows[slot] is not { IsRunning: true, DraftCount: > 0 } row
                || (row.LastToken != _configuration.EndOfSequenceTokenId && row.TokenCount < _maxNewTokens))
                continue;
            cancellationToken.ThrowIfCancellationRequested();
            _decoder.RunPending(slot);
            row.Count(_decoder.TakeOperations(slot));
            VerifyDrafts(slot);
        }
    }

    /// <summary>Takes the full model's choices in the place of a row's drafts, whose last hidden states are there; false where the row ends or a draft was wrong, and
    /// what came after it is forgotten.</summary>
    private bool VerifyDrafts(int slot)
    {
        DecodingRow row = _rows[slot]!;
        int count = row.DraftCount;
        Span<float> logits = _products.ComputeMany(_decoder.States(slot, row.SettledCount, count), count);
        row.Rewind();
        for (int index = 0; index < count; index++)
        {
            row.Count(_costs.ChoiceProduct(_head.VocabularySize));
            int token = _selector.Choose(logits.Slice(index * _head.VocabularySize, _head.VocabularySize), [], row);
            if (token == TokenSelector.Invalid)
                return !Fail(row, _plan.LastLayer);
            bool isAccepted = row.Verify(Allowed(token), _plan.LastLayer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
            if (!row.IsRunning)
                return false;
            if (isAccepted)
                continue;
            _decoder.RollBack(slot, row.TokenCount);
            return false;
        }

        return true;
    }

    /// <summary>Notes whether the shallow tokens that the deep blocks have run for are the full model's.</summary>
    private void Compare(int slot, TokenState state, DecodingRow row)
    {
        int pending = row.PendingComparisons - 1;
        if (pending > 0 && _plan.StatePropagation == StatePropagation.ParallelDecoding)
        {
            Span<float> logits = _products.ComputeMany(_decoder.States(slot, row.TokenCount - pending, pending), pending);
            for (int index = 0; index < pending; index++)
            {
                row.Count(_costs.ConfidenceProduct(_head.VocabularySize));
                row.Compared(index, TensorPrimitives.IndexOfMax<float>(logits.Slice(index * _head.VocabularySize, _head.VocabularySize)));
            }
        }

        row.Compared(pending, TensorPrimitives.IndexOfMax<float>(state.Logits.Values));
        row.EndComparisons();
    }

    private int Choose(TokenState state, DecodingRow row)
    {
        Span<float> logits = state.Logits.Values;
        ReadOnlySpan<int> ids = state.Logits.IsWhole ? [] : state.Alive.Ids;
        Span<float> choice = _choice.Span<float>(0, logits.Length);
        if (_plan.Confidence is { ChoosesToken: true } && _plan.Asks(state.Layer) && state.TryGetLogScores(choice))
            return _selector.Choose(choice, ids, row);
        if (!_selector.ChangesLogits)
            return _selector.Choose(logits, ids, row);
        logits.CopyTo(choice);
        return _selector.Choose(choice, ids, row);
    }

    // As Hugging Face: the first id of a vocabulary in which nothing is allowed.
    private static int Allowed(int token) => token == TokenSelector.Forbidden ? 0 : token;

    private static bool Fail(DecodingRow row, int layer, string? problem = null)
    {
        row.Fail(problem ?? $"After decoder layer {layer} the hidden state of token {row.TokenCount} holds a NaN or an infinity: the model's weights do not fit this input.");
        return true;
    }
}
