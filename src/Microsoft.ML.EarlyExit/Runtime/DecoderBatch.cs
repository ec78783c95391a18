using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The decoder's side of one batch. Every slot is at its own position. Any of them can be run through a segment of blocks while the others are idle, a slot
/// whose row has ended takes another, and a row can be copied into another slot.
/// On the CPU nothing is allocated per token once the shapes that occur have occurred.
/// </summary>
internal sealed unsafe class DecoderBatch : IDisposable
{
    private readonly ModelBundle _bundle;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly int _width;
    private readonly DecoderMemory _memory;
    private readonly BlockRunner _blocks;
    private readonly int[] _pending;

    // None where no token can exit early.
    private readonly IStatePropagator? _propagator;

    /// <summary>A batch of empty slots, for rows of at most <paramref name="maxPositions"/> positions.</summary>
    public DecoderBatch(
        ModelBundle bundle, ModelSessions sessions, int slots, IReadOnlyList<DecoderSegment> segments, StatePropagation propagation, int maxPositions,
        OperationCosts costs, RunOptions run)
    {
        T5Configuration configuration = bundle.Configuration;
        _bundle = bundle;
        _segments = segments;
        _width = configuration.ModelDimension;
        _pending = new int[slots];
        DeviceMemory? device = sessions.Device;
        bool exits = segments.Count > 1;
        int headWidth = bundle.Manifest.GraphHeadDimension;
        var self = new SelfAttention(bundle, slots, maxPositions, device, sessions.CachePages);
        var cross = new CrossAttention(bundle, sessions, slots, device, run);
        _memory = new DecoderMemory(self, cross, exits ? new ExitedStates(slots, configuration.DecoderLayerCount, _width, self.Capacity) : null, slots, costs);
        try
        {
            _blocks = new BlockRunner(sessions, segments, _memory, configuration, headWidth, device, run);
            if (!exits)
                return;
            _propagator = propagation == StatePropagation.StateCopy
                ? new StateCopier(sessions, segments, _memory, _blocks, configuration, headWidth, device is not null, run)
                : device is not null
                    ? new PositionRunner(sessions, segments, _memory, _blocks, configuration, run)
                    : new PackedRunner(sessions, segments, _memory, _blocks, configuration, headWidth, run);
        }
        catch
        {
            // A device's memory is scarce, and nothing else would release it before the model.
            _blocks?.Dispose();
            _memory.Dispose();
            throw;
        }
    }

    /// <summary>Puts a row at its beginning into a slot whose row, if it had one, has ended.</summary>
    public void Admit(int slot, EncodedInput input)
    {
        if (!_memory.Cross.HasRoom(input))
        {
            Unbind();
            _memory.Cross.Grow(input);
        }

        _memory.Admit(slot, input);
    }

    /// <summary>
    /// Puts a copy of a slot's row into another slot, whose row, if it had one, has ended: both continue from there on, each for itself. Between two tokens.
    /// Layers that the row has not reached are computed for each when reached.
    /// </summary>
    public void Fork(int from, int to)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(to, from);
        _memory.Fork(from, to);
    }

    /// <summary>Begins a token: row i of the hidden states becomes the embedding of <paramref name="tokens"/>[i] in slot <paramref name="slots"/>[i].</summary>
    public void Embed(ReadOnlySpan<int> slots, ReadOnlySpan<int> tokens)
    {
        _blocks.Begin();
        WeightTensor embedding = _bundle.Tensor(_bundle.Manifest.TensorNames.Embedding);
        for (int row = 0; row < slots.Length; row++)
        {
            int position = _memory.Positions[slots[row]];
            if (position == _memory.Self.Capacity)
            {
                Unbind();
                _memory.Grow();
            }

            embedding.ReadRow(tokens[row], Hidden(row));
            _memory.Self.Bias.Set(slots[row], position);
        }
    }

    /// <summary>The hidden state of a row after the last segment that ran.</summary>
    public Memory<float> HiddenMemory(int row) => _blocks.HiddenMemory(row);

    /// <summary>As <see cref="HiddenMemory"/>, not to be kept.</summary>
    public Span<float> Hidden(int row) => _blocks.Hidden(row);

    /// <summary>
    /// Runs a segment for the given slots, whose hidden states are the first rows in that order. Earlier tokens of theirs that have exited before it get their
    /// keys and values there.
    /// </summary>
    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        _memory.Reach(_segments[segment], slots);
        // No token can have exited before the first segment's end.
        if (segment == 0)
            _blocks.Run(segment, slots);
        else
            _propagator!.Run(segment, slots);
    }

    /// <summary>
    /// Gives every layer what it lacks of the slots' tokens, without a new one, segment by segment to the last: with
    /// <see cref="StatePropagation.ParallelDecoding"/> the blocks run for them, what a self-speculation verifies its drafts with. Between two tokens.
    /// <see cref="States"/> then has their hidden states after the last block.
    /// </summary>
    public void RunPending(ReadOnlySpan<int> slots)
    {
        for (int segment = 1; segment < _segments.Count; segment++)
        {
            int count = 0;
            foreach (int slot in slots)
            {
                if (_memory.States!.FirstMissing(_segments[segment].FirstLayer, slot) < _memory.Positions[slot])
                    _pending[count++] = slot;
            }

            if (count == 0)
                continue;
            _memory.Reach(_segments[segment], _pending.AsSpan(0, count));
            _propagator!.BringUp(segment, _pending.AsSpan(0, count));
        }
    }

    /// <summary>
    /// The hidden states of a slot's tokens from position <paramref name="first"/> on, one after the other, after the last segment that ran for them: of tokens
    /// that exited early.
    /// </summary>
    public Span<float> States(int slot, int first, int count) => _memory.States!.States(slot, first, count);

    /// <summary>The positions of a slot's row so far.</summary>
    public int Length(int slot) => _memory.Positions[slot];

    /// <summary>Forgets a slot's positions from <paramref name="length"/> on: the next token is at that position. Between two tokens.</summary>
    public void RollBack(int slot, int length) => _memory.RollBack(slot, length);

    /// <summary>Clears what a row that failed may have left on a device with slots that were idle beside it: a NaN there would reach their own rows.</summary>
    public void ClearNoNumbers() => _memory.ClearNoNumbers();

    /// <summary>The operations done for a slot's row since they were last taken.</summary>
    public OperationCounts TakeOperations(int slot) => _memory.TakeOperations(slot);

    /// <summary>
    /// Ends a slot's token; <paramref name="exitsEarly"/>: deeper layers get its keys and values from its hidden state, in <paramref name="row"/>, when they
    /// need them.
    /// </summary>
    public void Advance(int slot, int row, bool exitsEarly)
    {
        if (exitsEarly)
            Hidden(row).CopyTo(_memory.States!.State(slot, _memory.Positions[slot]));
        _memory.Advance(slot);
    }

    public void Dispose()
    {
        _propagator?.Dispose();
        _blocks.Dispose();
        _memory.Dispose();
    }

    private void Unbind()
    {
        _blocks.Unbind();
        _propagator?.Unbind();
    }
}
