using Microsoft.ML.EarlyExit.Exit;
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

    private readonly ExitPlan _plan;
    private readonly LanguageModelHead _head;
    private readonly OperationCosts _costs;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly TokenState[] _states;
    private readonly DecodingRow[] _rows;
    private readonly AliveRows?[] _alive;
    private readonly int[] _slots;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;
    private NativeBuffer? _manyNormed;
    private NativeBuffer? _manyLogits;
    private int _count;

    public HeadProducts(ExitPlan plan, LanguageModelHead head, OperationCosts costs, OnnxThreadPool threadPool, int slots)
    {
        _plan = plan;
        _head = head;
        _costs = costs;
        _lane = threadPool.CreateLane();
        _states = new TokenState[slots];
        _rows = new DecodingRow[slots];
        _alive = new AliveRows?[slots];
        _slots = new int[slots];
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
        int full = 0;
        for (int index = 0; index < _count; index++)
        {
            if (IsFull(_states[index]))
                _head.Normalize(_states[index].Hidden, Normed(full++));
        }

        MultiplyFull(full);
        full = 0;
        for (int index = 0; index < _count; index++)
        {
            if (IsFull(_states[index]))
                Set(index, _states[index].Layer, full++, isChoice);
        }

        // Each of the others has its own rows of the head.
        for (int index = 0; index < _count; index++)
        {
            TokenState state = _states[index];
            if (IsFull(state))
                continue;
            Span<float> normed = Normed(full);
            Memory<float> logits = Logits(full++, state.Alive.Count);
            _head.Normalize(state.Hidden, normed);
            AliveRows alive = _alive[_slots[index]] ??= new AliveRows(_head);
            _head.Multiply(_lane, alive.Gather(state.Alive), state.Alive.Count, normed, 1, logits.Span);
            state.Logits.Set(logits, isFull: false, keep: KeepsLogits);
            _rows[index].Count(isChoice ? _costs.ChoiceProduct(logits.Length) : _costs.ConfidenceProduct(logits.Length));
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
        MultiplyFull(missing);
        missing = 0;
        for (int index = 0; index < _count; index++)
        {
            if (!_states[index].LogitsAt(layer).IsSet)
                Set(index, layer, missing++, isChoice: false);
        }
    }

    /// <summary>The logits of one token at the layer it has reached, over the full vocabulary; until the next call of this or of
    /// <see cref="ComputeMany"/>.</summary>
    public void ComputeFull(TokenState state)
    {
        ComputeMany(state.Hidden, 1);
        state.Logits.Set(_manyLogits!.Floats(0, _head.VocabularySize), isFull: true, keep: false);
    }

    /// <summary>Logits over the full vocabulary of several positions: hidden states [count, d] → [count, V], valid until the next call.</summary>
    public Span<float> ComputeMany(ReadOnlySpan<float> hiddenStates, int count)
    {
        Ensure(ref _manyNormed, checked(count * _head.Width));
        Ensure(ref _manyLogits, checked(count * _head.VocabularySize));
        Span<float> normed = _manyNormed!.Span<float>(0, count * _head.Width);
        Span<float> logits = _manyLogits!.Span<float>(0, count * _head.VocabularySize);
        for (int index = 0; index < count; index++)
            _head.Normalize(hiddenStates.Slice(index * _head.Width, _head.Width), normed.Slice(index * _head.Width, _head.Width));
        _head.Multiply(_lane, normed, count, logits);
        return logits;
    }

    public void Dispose()
    {
        _lane.Dispose();
        foreach (AliveRows? rows in _alive)
            rows?.Dispose();
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

    private void MultiplyFull(int count)
    {
        if (count > 0)
            _head.Multiply(_lane, _normed.Span<float>(0, count * _head.Width), count, _logits.Span<float>(0, count * _head.VocabularySize));
    }

    private Span<float> Normed(int at) => _normed.Span<float>((long)at * _head.Width, _head.Width);

    private Memory<float> Logits(int at, int count) => _logits.Floats((long)at * _head.VocabularySize, count);
}
