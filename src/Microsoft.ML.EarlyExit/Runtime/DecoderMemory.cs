using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// What a batch remembers of the rows in its slots: their positions, keys and values, the states of tokens that exited early, and the operations done for them.
/// A slot is a place in the caches; a row is the sequence that is in it, and another may follow it there.
/// </summary>
internal sealed class DecoderMemory : IDisposable
{
    private readonly int[] _positions;
    private readonly OperationCounts[] _operations;
    private readonly OperationCosts _costs;

    public DecoderMemory(SelfAttention self, CrossAttention cross, ExitedStates? states, int slots, OperationCosts costs)
    {
        Self = self;
        Cross = cross;
        States = states;
        _positions = new int[slots];
        _operations = new OperationCounts[slots];
        _costs = costs;
    }

    public int SlotCount => _positions.Length;

    public SelfAttention Self { get; }

    public CrossAttention Cross { get; }

    /// <summary>The states of tokens that exited early; null where none can.</summary>
    public ExitedStates? States { get; }

    /// <summary>The position of every slot's next token: how many its row has.</summary>
    public ReadOnlySpan<int> Positions => _positions;

    /// <summary>Puts a row at its beginning into a slot; there must be room for its encoder positions.</summary>
    public void Admit(int slot, EncodedInput input)
    {
        _positions[slot] = 0;
        _operations[slot] = default;
        States?.Forget(slot, 0);
        Cross.Admit(slot, input);
    }

    /// <summary>Makes room for more positions.</summary>
    public void Grow()
    {
        Self.Grow(_positions);
        States?.Grow(Self.Capacity);
    }

    /// <summary>Puts a copy of a slot's row into another slot, between two tokens: keys, values and states as far as they were computed.</summary>
    public void Fork(int from, int to)
    {
        int length = _positions[from];
        _positions[to] = length;
        _operations[to] = default;
        Cross.Fork(from, to);
        States?.Fork(from, to, length);
        for (int layer = 1; layer <= Self.LayerCount; layer++)
            Self.Fork(layer, from, to, States?.FirstMissing(layer, from) ?? length);
    }

    /// <summary>Forgets a slot's positions from <paramref name="length"/> on, between two tokens.</summary>
    public void RollBack(int slot, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, _positions[slot]);
        // What the caches hold beyond is masked, and later tokens write over it.
        _positions[slot] = length;
        States?.Forget(slot, length);
    }

    /// <inheritdoc cref="KeyValueCache.ClearNoNumbers()"/>
    public void ClearNoNumbers()
    {
        Self.ClearNoNumbers();
        Cross.ClearNoNumbers();
    }

    /// <summary>Ends a slot's token.</summary>
    public void Advance(int slot) => _positions[slot]++;

    /// <summary>Makes a segment's caches, and the cross-attention keys and values of rows that reach a layer for the first time.</summary>
    public void Reach(DecoderSegment blocks, ReadOnlySpan<int> slots)
    {
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
        {
            Self.Reach(layer);
            foreach (int slot in slots)
            {
                if (Cross.Reach(layer, slot))
                    _operations[slot] += _costs.CrossKeysValues(Cross.EncoderLength(slot));
            }
        }
    }

    /// <summary>Records that blocks have run for a slot's positions from <paramref name="first"/> to before <paramref name="end"/>.</summary>
    public void RecordRun(DecoderSegment blocks, int slot, int first, int end)
    {
        for (int position = first; position < end; position++)
            _operations[slot] += _costs.Blocks(blocks.LastLayer - blocks.FirstLayer + 1, position, Cross.EncoderLength(slot));
        if (States is null)
            return;
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            States.Filled(layer, slot, end);
    }

    /// <summary>Records that a layer is given the states of a slot's earlier tokens as far as it lacks them.</summary>
    public void RecordCopies(int layer, int slot) => _operations[slot] += _costs.StateCopies(_positions[slot] - States!.FirstMissing(layer, slot));

    /// <summary>The operations done for a slot's row since they were last taken.</summary>
    public OperationCounts TakeOperations(int slot)
    {
        OperationCounts taken = _operations[slot];
        _operations[slot] = default;
        return taken;
    }

    public void Dispose()
    {
        Self.Dispose();
        Cross.Dispose();
        States?.Dispose();
    }
}
