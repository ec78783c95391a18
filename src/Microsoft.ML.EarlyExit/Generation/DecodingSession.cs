using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Generation.TokenChoice;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// The decoding loop and all its mutable state. Rows are independent: between two segments of blocks the policy says which of their tokens exit, and only the
/// others run on; a row that has ended gives its slot to the next, so that none waits for the slowest.
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
    private readonly ThresholdLearning? _learning;
    private readonly DraftVerifier? _verifier;
    private readonly DecodingRow?[] _rows;
    private readonly TokenState?[] _states;
    private readonly int[] _slots;
    private readonly int[] _tokens;
    private readonly bool[] _ran;
    private readonly NativeArena _kept = new();

    public DecodingSession(
        ModelBundle bundle, ModelSessions sessions, LanguageModelHead head, int slots, ExitPlan plan, TextGenerationOptions options, int maxNewTokens,
        RunOptions run)
    {
        _configuration = bundle.Configuration;
        _costs = new OperationCosts(_configuration);
        _head = head;
        _plan = plan;
        var rules = new LogitRules(_configuration, options);
        _selector = new TokenSelector(rules, head.VocabularySize);
        _maxNewTokens = maxNewTokens;
        _options = options;
        _scratch = new EvaluationScratch(head.VocabularySize);
        _rows = new DecodingRow?[slots];
        _states = new TokenState?[slots];
        _slots = new int[slots];
        _tokens = new int[slots];
        _ran = new bool[slots];
        _products = new HeadProducts(plan, head, _costs, sessions.ThreadPool, slots, !rules.IsEmpty, _configuration.EndOfSequenceTokenId);
        _decoder = new DecoderBatch(bundle, sessions, slots, plan.Segments, plan.StatePropagation, maxNewTokens, _costs, run);
        _learning = plan.Adapts ? new ThresholdLearning(plan, _decoder, _products, _costs, head.VocabularySize) : null;
        _verifier = plan.Speculation is null
            ? null
            : new DraftVerifier(_decoder, head, _products, plan, _selector, _rows, _costs, _configuration.EndOfSequenceTokenId, maxNewTokens);
    }

    /// <summary>Whether rows must be taken in closed batches, each ended by <see cref="Learn"/>.</summary>
    public bool LearnsFromBatches => _learning is not null;

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
    public void Learn(IEnumerable<DecodingRow> rows) => _learning!.Learn(rows);

    /// <summary>Generates one token for every running row; with self-speculation a draft, or several tokens that were verified, or none that stays.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was requested; it is looked at between segments.</exception>
    public void Step(CancellationToken cancellationToken)
    {
        int count = 0;
        for (int slot = 0; slot < _rows.Length; slot++)
        {
            _ran[slot] = _rows[slot] is { IsRunning: true };
            if (_rows[slot] is not { IsRunning: true } row)
                continue;
            _slots[count] = slot;
            _tokens[count++] = row.LastToken;
        }

        _decoder.Embed(_slots.AsSpan(0, count), _tokens);
        for (int index = 0; index < count; index++)
        {
            TokenState state = _states[_slots[index]]!;
            DecodingRow row = _rows[_slots[index]]!;
            state.Begin(row.TokenCount, row.TokenCount == 0 ? 0 : row.Token(row.TokenCount - 1).Layer);
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

        _verifier?.VerifyEndings(cancellationToken);
        for (int slot = 0; slot < _rows.Length; slot++)
        {
            if (!_ran[slot] || _rows[slot] is not { HasFailed: true })
                continue;
            _decoder.ClearNoNumbers();
            break;
        }
    }

    public void Dispose()
    {
        _decoder.Dispose();
        _kept.Dispose();
        _selector.Dispose();
        _verifier?.Dispose();
        _products.Dispose();
    }

    /// <summary>After a segment: rows whose token exits get it; the others move together and are counted.</summary>
    private int Decide(int layer, int count)
    {
        bool isLast = layer == _plan.LastLayer;
        if (!isLast && !_plan.Evaluates(layer))
            return count;
        _products.Begin();
        for (int index = 0; index < count; index++)
        {
            if (isLast || IsAsked(_slots[index]))
                _products.Add(_slots[index], _states[_slots[index]]!, _rows[_slots[index]]!);
        }

        if (isLast || _plan.Confidence is null or { UsesLogits: true })
            _products.Compute(isChoice: isLast || _plan.Confidence is null);
        foreach (int amateur in _plan.AmateurLayers(layer))
            _products.ComputeAmateur(amateur);

        if (isLast)
        {
            _verifier?.Verify(_slots.AsSpan(0, count));
            for (int index = 0; index < count; index++)
                ExitLast(_slots[index], index);
            return 0;
        }

        int staying = 0;
        for (int index = 0; index < count; index++)
        {
            int slot = _slots[index];
            if (IsAsked(slot) && TryExit(slot))
            {
                _decoder.Advance(slot, index, exitsEarly: true);
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

    /// <summary>Whether a row's token may exit here: not where the row has drafted enough, whose token runs all layers, and the drafts with it.</summary>
    private bool IsAsked(int slot) => _states[slot]!.IsAsked && (_verifier is null || !_verifier.HasEnough(_rows[slot]!));

    /// <summary>Evaluates a row's confidence after a layer before the last; gives the row its token and returns true where that exits.</summary>
    private bool TryExit(int slot)
    {
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        if (_plan.Confidence is null)
            return TryTake(slot, state, row);

        int rows = _plan.Confidence.UsesLogits ? state.Logits.Values.Length : 0;
        row.Count(_costs.PaperEvaluation(_plan.PaperRows(state.Layer == state.Asked.First, rows, row.Confidence)));
        if (state.Logits.SumError != 0)
        {
            // Most tokens that stay do so whatever the sum is.
            double most = SoftmaxMargin.AtMost(state.Logits);
            if (most < _plan.ThresholdAt(state.Layer, row.TokenCount) && !state.NeedsNumber && !row.IsTraced)
            {
                row.DidNotExit((float)most);
                Prune(slot, state, confidence: float.NaN);
                return false;
            }

            _products.Narrow(slot, state);
        }

        float confidence = _plan.Confidence.Evaluate(state);
        row.Evaluated(state.Layer, confidence, rows, state.AmateurLayer);
        if (LearnsFromBatches)
            row.Comparisons.Note(TensorPrimitives.IndexOfMax<float>(state.Logits.Values), confidence);

        // In the published code a contrastive confidence that is no number lets the token exit, whose logits are sound.
        bool exits = float.IsNaN(confidence)
            ? _plan.Confidence.ExitsWithoutNumber
            : _learning is null ? _plan.Exits(confidence, state.Layer, row.TokenCount) : confidence > _learning.Threshold;
        if (float.IsNaN(confidence) && !exits)
            return row.FailAt(state.Layer, state.Problem);
        if (!exits)
            row.DidNotExit(confidence);
        else if (TryTake(slot, state, row))
            return true;
        Prune(slot, state, confidence);
        return false;
    }

    private void Prune(int slot, TokenState state, float confidence)
    {
        if (state.Ranked(confidence) is > 0 and int ranked)
            _products.Rank(slot, state, ranked);
        state.Prune(confidence);
    }

    /// <summary>Gives a row the token that may exit; false where none is allowed, and it does not.</summary>
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
            return row.FailAt(state.Layer, state.Problem);
        if (token == TokenSelector.Forbidden)
            return false;
        if (_plan.Speculation is null)
            row.Emit(token, state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        else
            row.Draft(token, state.Layer, _maxNewTokens);
        return true;
    }

    /// <summary>Chooses the token of a row that has run all layers.</summary>
    private void ExitLast(int slot, int index)
    {
        if (_verifier is not null && !_verifier.Continues(slot))
            return;
        DecodingRow row = _rows[slot]!;
        TokenState state = _states[slot]!;
        _learning?.Compare(slot, state, row);
        int token = Choose(state, row);
        if (token == TokenSelector.Forbidden && !state.Logits.IsFull)
        {
            // Of the alive ones none is allowed.
            _products.ComputeFull(state, row);
            row.Count(_costs.ChoiceProduct(_head.VocabularySize));
            token = Choose(state, row);
        }

        if (token == TokenSelector.Invalid)
            row.FailAt(state.Layer);
        else
            row.Emit(TokenSelector.Allowed(token), state.Layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        _decoder.Advance(slot, index, exitsEarly: false);
    }

    private int Choose(TokenState state, DecodingRow row) => _selector.Choose(
        state, row, byScores: _plan.Confidence is { ChoosesToken: true } && _plan.Evaluates(state.Layer));
}
