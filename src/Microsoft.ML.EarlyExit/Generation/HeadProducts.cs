using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// Computes the logits that a step needs, for several rows at once where they are over the full vocabulary, counts them, and hands them to the tokens' states.
/// </summary>
internal sealed unsafe class HeadProducts : IDisposable
{
    /// <summary>
    /// Positions that <see cref="ComputeMany"/> is to be given at most, no fewer than one row drafts: their logits over the vocabulary would take more memory
    /// than reading the head once again is worth.
    /// </summary>
    public const int LargestProduct = 2 * SelfSpeculation.MostDraftTokens;

    // Rows side by side up to which the screen pays for a confidence: more of them read the whole head together.
    private const int MostScreenedConfidences = 3;

    private readonly ExitPlan _plan;
    private readonly LanguageModelHead _head;
    private readonly OperationCosts _costs;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly bool _changesLogits;
    private readonly int _endOfSequence;
    private readonly int[] _found;
    private readonly float[] _bounds;
    private readonly ScreenedLogits?[] _screened;
    private readonly AliveLogits?[] _alive;

    // Whether a slot's logits are estimates.
    private readonly bool[] _isScreened;

    // Where the head's input of a slot is whose vocabulary is cut.
    private readonly int[] _places;
    private readonly ScreenedLogits? _oneOfMany;
    private readonly ScreenProduct? _estimates;
    private readonly TokenState[] _states;
    private readonly DecodingRow[] _rows;
    private readonly int[] _slots;
    private readonly int[] _cut;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;
    private NativeBuffer? _manyNormed;
    private NativeBuffer? _manyLogits;
    private int _count;
    private int _firstCut;

    /// <param name="plan">What is evaluated after which layer.</param>
    /// <param name="head">The LM head.</param>
    /// <param name="costs">What products cost.</param>
    /// <param name="threadPool">The threads.</param>
    /// <param name="slots">Rows at the same time.</param>
    /// <param name="changesLogits">Whether logits of tokens of a row's sequence, or of the one that ends it, are changed before its token is chosen.</param>
    /// <param name="endOfSequence">The token that ends a sequence.</param>
    public HeadProducts(
        ExitPlan plan, LanguageModelHead head, OperationCosts costs, OnnxThreadPool threadPool, int slots, bool changesLogits, int endOfSequence)
    {
        _plan = plan;
        _head = head;
        _costs = costs;
        _lane = threadPool.CreateLane();
        _changesLogits = changesLogits;
        _endOfSequence = endOfSequence;
        _screened = new ScreenedLogits?[slots];
        _alive = new AliveLogits?[slots];
        _isScreened = new bool[slots];
        _places = new int[slots];
        _found = head.Screen is null ? [] : new int[head.VocabularySize];
        _bounds = new float[_found.Length];
        _estimates = head.CreateEstimates(_lane);
        _oneOfMany = CreateScreened();
        _states = new TokenState[slots];
        _rows = new DecodingRow[slots];
        _slots = new int[slots];
        _cut = new int[slots];
        _normed = new NativeBuffer((long)slots * head.Width * sizeof(float));
        _logits = new NativeBuffer((long)slots * head.VocabularySize * sizeof(float));
    }

    // Contrastive measures read earlier layers' logits; they are copied out of this shared buffer.
    private bool KeepsLogits => _plan.Confidence is { ComparesLayers: true };

    /// <summary>Begins another list of rows.</summary>
    public void Begin() => _count = 0;

    /// <summary>Adds a row to those that the next products are for.</summary>
    /// <param name="slot">The row's slot, whose rows of the head are kept while its token runs.</param>
    /// <param name="state">Its token.</param>
    /// <param name="row">The row that is charged.</param>
    public void Add(int slot, TokenState state, DecodingRow row)
    {
        _slots[_count] = slot;
        _states[_count] = state;
        _rows[_count++] = row;
    }

    /// <summary>The logits of all rows at the layer they have reached; those over the full vocabulary in one product.</summary>
    /// <param name="isChoice">Whether they are to choose a token, rather than for a confidence.</param>
    public void Compute(bool isChoice)
    {
        bool isScreened = TakesScreen(isChoice);
        int full = 0;
        for (int index = 0; index < _count; index++)
        {
            if (!IsFull(_states[index]))
                continue;
            _isScreened[_slots[index]] = isScreened;
            _head.Normalize(_states[index].Hidden, Normed(full++));
        }

        MultiplyFull(full, isScreened, isFine: !isChoice);
        full = 0;
        for (int index = 0; index < _count; index++)
        {
            if (!IsFull(_states[index]))
                continue;
            if (isScreened)
                Settle(index, full, isChoice);
            Set(index, _states[index].Layer, full++, isChoice);
            if (isScreened && !isChoice)
                TakeSum(_screened[_slots[index]]!, _states[index]);
        }

        if (!isScreened && !isChoice && full > 1 && _head.ThreadCount > 1)
            _lane.Run(&SumFull, this, _count);

        // Each of the others has its own rows of the head.
        int cut = 0;
        for (int index = 0; index < _count; index++)
        {
            TokenState state = _states[index];
            if (IsFull(state))
                continue;
            _places[_slots[index]] = full + cut;
            _head.Normalize(state.Hidden, Normed(full + cut));
            _isScreened[_slots[index]] = !isChoice && TakesAliveScreen(index);
            _cut[cut++] = index;
        }

        MultiplyAlive(full, cut);
        for (int at = 0; at < cut; at++)
        {
            TokenState state = _states[_cut[at]];
            Memory<float> logits = Logits(full + at, state.Alive.Count);
            state.Logits.Set(logits, isFull: false, keep: KeepsLogits);
            if (_isScreened[_slots[_cut[at]]])
            {
                AliveLogits alive = _alive[_slots[_cut[at]]]!;
                state.Logits.SetSum(alive.LogSumExp, alive.SumError);
                _head.Counts.AddProduct(state.Layer, logits.Length);
                _head.Counts.AddRows(state.Layer, alive.ExactCount);
            }

            _rows[_cut[at]].Count(isChoice ? _costs.ChoiceProduct(logits.Length) : _costs.ConfidenceProduct(logits.Length));
        }
    }

    /// <summary>The logits of an earlier layer, over the full vocabulary, for all rows that do not have them yet.</summary>
    public void ComputeAmateur(int layer)
    {
        int missing = 0;
        for (int index = 0; index < _count; index++)
        {
            if (!_states[index].LogitsAt(layer).IsSet)
                _head.Normalize(_states[index].HiddenAfter(layer), Normed(missing++));
        }

        // The current layer's logits are kept elsewhere.
        MultiplyFull(missing, isScreened: false, isFine: false);
        missing = 0;
        for (int index = 0; index < _count; index++)
        {
            if (!_states[index].LogitsAt(layer).IsSet)
                Set(index, layer, missing++, isChoice: false);
        }
    }

    /// <summary>Makes the sum over a row's logits, most of which are estimates, sure enough for its confidence to be told.</summary>
    public void Narrow(int slot, TokenState state)
    {
        if (!_isScreened[slot])
            return;
        if (!state.Logits.IsFull)
        {
            ReadOnlySpan<int> alive = state.Alive.Ids;
            _head.MultiplyRows(_lane, alive, Normed(_places[slot]), state.Logits.Values);
            _head.Counts.AddRows(state.Layer, alive.Length - _alive[slot]!.ExactCount);
            state.Logits.ClearSum();
            return;
        }

        ScreenedLogits screened = _screened[slot]!;
        int before = screened.ExactCount;
        screened.Narrow(SoftmaxMargin.Margin(state.Logits));
        _head.Counts.AddRows(state.Layer, screened.ExactCount - before);
        TakeSum(screened, state);
    }

    /// <summary>Makes a row's best logits exact, before the vocabulary is cut to them.</summary>
    public void Rank(int slot, TokenState state, int count)
    {
        if (!_isScreened[slot] || !state.Logits.IsFull)
            return;
        ScreenedLogits screened = _screened[slot]!;
        int before = screened.ExactCount;
        screened.Rank(count);
        _head.Counts.AddRows(state.Layer, screened.ExactCount - before);
    }

    /// <summary>The logits of one token at the layer it has reached, over the full vocabulary; until the next call of this or of
    /// <see cref="ComputeMany"/>.</summary>
    public void ComputeFull(TokenState state, DecodingRow row)
    {
        ComputeMany(state.Hidden, 1);
        OneOfMany(0, row, state.Layer);
        state.Logits.Set(_manyLogits!.Floats(0, _head.VocabularySize), isFull: true, keep: false);
    }

    /// <summary>
    /// Computes logits over the full vocabulary of several positions, of hidden states [count, d]; <see cref="OneOfMany"/> has them until the next call.
    /// </summary>
    public void ComputeMany(ReadOnlySpan<float> hiddenStates, int count)
    {
        Ensure(ref _manyNormed, checked(count * _head.Width));
        Ensure(ref _manyLogits, checked(count * _head.VocabularySize));
        Span<float> normed = _manyNormed!.Span<float>(0, count * _head.Width);
        Span<float> logits = _manyLogits!.Span<float>(0, count * _head.VocabularySize);
        for (int index = 0; index < count; index++)
            _head.Normalize(hiddenStates.Slice(index * _head.Width, _head.Width), normed.Slice(index * _head.Width, _head.Width));
        Multiply(normed, count, logits, _estimates is not null, isFine: false);
    }

    /// <summary>The logits of one of the positions of <see cref="ComputeMany"/>, for a row's next token to be chosen by.</summary>
    public Span<float> OneOfMany(int index, DecodingRow row, int layer)
    {
        Memory<float> logits = _manyLogits!.Floats((long)index * _head.VocabularySize, _head.VocabularySize);
        if (_oneOfMany is not null)
            Settle(_oneOfMany, _manyNormed!.Floats((long)index * _head.Width, _head.Width), logits, row, layer);
        return logits.Span;
    }

    public void Dispose()
    {
        _lane.Dispose();
        _estimates?.Dispose();
        foreach (AliveLogits? alive in _alive)
            alive?.Dispose();
        _manyLogits?.Dispose();
        _manyNormed?.Dispose();
        _logits.Dispose();
        _normed.Dispose();
    }

    private static void Ensure(ref NativeBuffer? buffer, int floats)
    {
        if (buffer is not null && buffer.Bytes >= (long)floats * sizeof(float))
            return;
        buffer?.Dispose();
        buffer = new NativeBuffer((long)floats * sizeof(float));
    }

    private bool IsFull(TokenState state) => state.Alive.IsFull || _plan.IsFullAt(state.Layer);

    private void Set(int index, int layer, int at, bool isChoice)
    {
        _states[index].LogitsAt(layer).Set(Logits(at, _head.VocabularySize), isFull: true, keep: KeepsLogits);
        _rows[index].Count(isChoice ? _costs.ChoiceProduct(_head.VocabularySize) : _costs.ConfidenceProduct(_head.VocabularySize));
    }

    /// <summary>Adds up what a confidence needs of a row's logits over the full vocabulary.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void SumFull(void* state, nuint at)
    {
        TokenState row = ((HeadProducts)GCHandle.FromIntPtr((nint)state).Target!)._states[(int)at];
        if (row.Logits is { IsSet: true, IsFull: true } logits)
            logits.Sum();
    }

    /// <summary>Multiplies the alive rows of those whose vocabulary is cut: side by side where each thread has one, else each on all threads.</summary>
    private void MultiplyAlive(int first, int count)
    {
        if (count >= _head.ThreadCount && count > 1)
        {
            _firstCut = first;
            _lane.Run(&MultiplyAlive, this, count);
            return;
        }

        for (int at = 0; at < count; at++)
            MultiplyAlive(at, first + at, _lane);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyAlive(void* state, nuint at)
    {
        var self = (HeadProducts)GCHandle.FromIntPtr((nint)state).Target!;
        self.MultiplyAlive((int)at, self._firstCut + (int)at, lane: null);
    }

    private void MultiplyAlive(int at, int place, OnnxThreadPool.Lane? lane)
    {
        int slot = _slots[_cut[at]];
        AliveVocabulary alive = _states[_cut[at]].Alive;
        Span<float> logits = Logits(place, alive.Count).Span;
        _isScreened[slot] = _isScreened[slot] && _alive[slot]!.TryEstimate(alive.Ids, Normed(place), logits);
        if (!_isScreened[slot])
            _head.MultiplyRows(lane, alive.Ids, Normed(place), logits);
    }

    /// <summary>Whether a row's logits over what is alive can be estimates: where a bound of its confidence may be enough, and there are many.</summary>
    private bool TakesAliveScreen(int index)
    {
        TokenState state = _states[index];
        if (_estimates is null || _plan.Confidence is not { UsesAllLogits: false } || state.NeedsNumber || _rows[index].IsTraced
            || !AliveLogits.IsWorth(state.Alive.Count, _head.Width))
            return false;
        if (_alive[_slots[index]] is not { } alive || alive.Capacity < state.Alive.Count)
        {
            _alive[_slots[index]]?.Dispose();
            _alive[_slots[index]] = new AliveLogits(_head, _head.Screen!, Math.Max(state.Alive.Count, state.Alive.Most));
        }

        return true;
    }

    /// <summary>Whether logits can be estimates, and are worth it: a choice needs the best one only, and most confidences no more than a bound.</summary>
    private bool TakesScreen(bool isChoice) =>
        _estimates is not null
        && (isChoice || (_slots.Length <= MostScreenedConfidences && !_plan.CutsByConfidence && _plan.Confidence is not { UsesAllLogits: true }));

    private void MultiplyFull(int count, bool isScreened, bool isFine)
    {
        if (count > 0)
            Multiply(_normed.Span<float>(0, count * _head.Width), count, _logits.Span<float>(0, count * _head.VocabularySize), isScreened, isFine);
    }

    private void Multiply(ReadOnlySpan<float> normed, int count, Span<float> logits, bool isScreened, bool isFine)
    {
        if (isScreened)
            _estimates!.Run(normed, count, isFine, logits);
        else
            _head.Multiply(_lane, normed, count, logits);
    }

    private ScreenedLogits? CreateScreened() => _head.Screen is { } screen ? new ScreenedLogits(_head, screen, _estimates!, _lane, _found, _bounds) : null;

    private void Settle(int index, int at, bool isChoice)
    {
        ScreenedLogits screened = _screened[_slots[index]] ??= CreateScreened()!;
        int layer = _states[index].Layer;
        Settle(screened, _normed.Floats((long)at * _head.Width, _head.Width), Logits(at, _head.VocabularySize), _rows[index], layer);
        int before = screened.ExactCount;
        if (!isChoice)
            screened.Sum();
        _head.Counts.AddRows(layer, screened.ExactCount - before);
    }

    private void Settle(ScreenedLogits screened, ReadOnlyMemory<float> normed, Memory<float> logits, DecodingRow row, int layer)
    {
        if (_changesLogits)
            screened.Settle(normed, logits, row.Sequence, _endOfSequence);
        else
            screened.Settle(normed, logits, [], -1);
        _head.Counts.AddProduct(layer, _head.VocabularySize);
        _head.Counts.AddRows(layer, screened.ExactCount);
    }

    private static void TakeSum(ScreenedLogits screened, TokenState state)
    {
        if (screened.IsExact)
            state.Logits.ClearSum();
        else
            state.Logits.SetSum(screened.LogSumExp, screened.SumError);
    }

    private Span<float> Normed(int at) => _normed.Span<float>((long)at * _head.Width, _head.Width);

    private Memory<float> Logits(int at, int count) => _logits.Floats((long)at * _head.VocabularySize, count);
}
